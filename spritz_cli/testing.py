"""Test doubles and sample values, for the tests of vidgen and of applications."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redis import Redis

from spritz_cli.media import ffmpeg
from spritz_cli.models import (
    Cue,
    KeyFigure,
    MicroUSD,
    RenderedFilm,
    Spending,
    Template,
    TextCard,
    Tier,
    Video,
)
from spritz_cli.storage.footage import Order
from spritz_cli.storage.videos import VideoStore
from spritz_cli.tiers.base import Offer, Progress
from spritz_cli.tiers.brief import request_digest

FAKE_WIDTH, FAKE_HEIGHT, FAKE_FPS = 64, 36, 5


def fake_redis() -> Redis:
    """Return a client of a new Redis in the memory of this process (needs `fakeredis[lua]`)."""
    import fakeredis

    return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)


def sample_template(**changes: Any) -> Template:
    """Return a complete template with these `changes` of its fields."""
    template = Template(
        persona="high_utilization",
        topic="credit_utilization",
        title="Credit utilization",
        prompt_template="Explain credit utilization",
        visual_metaphor="A gauge that falls",
        duration_seconds=15,
        style="educational, supportive",
        fallback_static="card.svg.j2",
        accent="indigo",
        takeaway="Under 30% helps; lower is usually better.",
        card=TextCard("Lower your utilization", "Pay before the statement.", "See your cards"),
        alt="A gauge falls from 68% to 25%.",
        captions=(Cue(0.3, 2.9, "This is utilization."),),
        parameters={"limit": 5000, "balance": 3400, "payment": 2150},
        results={"before_pct": 68, "after_pct": 25},
        figures=(KeyFigure(25, "pct", "of your limits used"),),
    )
    return replace(template, **changes)


def sample_order(template: Template | None = None, **changes: Any) -> Order:
    """Return a stored order of the footage that the template asks for, with `changes`."""
    template = template or sample_template()
    order = Order(
        id="0123456789abcdef",
        template=template.name,
        request_digest=request_digest(template),
        paid_fingerprint="a" * 64,
        part=1,
        parts=1,
        attempt=1,
        provider="openai",
        model="sora-2",
        prompt=template.prompt_template,
        size="1280x720",
        seconds=8,
        cost_micros=MicroUSD(800_000),
        day="2026-11-23",
        created_at=1_795_000_000.0,
        state="stored",
    )
    return order._replace(**changes)


def sample_film(folder: Path, content: str = "film") -> RenderedFilm:
    """Write files whose digests depend on `content`. No player could play them."""
    film = _film_in(folder, 15.0, 1280, 720)
    film.video.write_text(f"mp4 of {content}\n")
    film.poster.write_text(f"webp of {content}\n")
    film.captions.write_text("WEBVTT\n")
    return film


def publish_sample(
    store: VideoStore,
    content: str = "film",
    template: Template | None = None,
    at: str = "2026-11-23T09:00:00+00:00",
) -> Video:
    """Publish `sample_film` for a template, created `at`, and return its manifest entry."""
    with store.staging() as scratch:
        return store.publish(
            sample_film(scratch, content),
            template or sample_template(),
            tier="static",
            fingerprint="f" * 64,
            inputs={"parameters": {"payment": 2000}},
            created_at=at,
            fallback_reason="not_configured",
        )


@dataclass
class FakeTier:
    """Makes real films of few grey pixels. `made` lists the names of their templates.

    A film has this `shade`, lasts `seconds` longer than its template asks for, and takes
    `pause` seconds to make. `error` is raised instead of finishing it.
    """

    name: Tier = "static"
    shade: int = 90
    error: BaseException | None = None
    seconds: float = 0.0
    pause: float = 0.0
    made: list[str] = field(default_factory=list)
    offered: Offer = field(default_factory=Offer)
    footage: str | None = None

    def inputs(self, template: Template) -> dict[str, Any]:
        """Return the document whose digest is the fingerprint."""
        drawing = self.drawing(template)
        return drawing if self.footage is None else {**drawing, "footage": self.footage}

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the drawn part: everything but `footage`."""
        return {"template": template.document(), "tier": self.name, "shade": self.shade}

    def offer(self, template: Template) -> Offer:  # noqa: ARG002 - the same for all
        return self.offered

    def make(
        self,
        template: Template,
        scratch: Path,
        progress: Progress,
        spending: Spending,  # noqa: ARG002
    ) -> RenderedFilm:
        """Write a film that plays; its poster and captions are stand-ins."""
        self.made.append(template.name)
        seconds = template.duration_seconds + self.seconds
        film = _film_in(scratch, seconds, FAKE_WIDTH, FAKE_HEIGHT)
        (scratch / "half a film").touch()
        for step in range(1, 11):
            time.sleep(self.pause / 10)
            progress(step / 10)
        if self.error:
            raise self.error
        film.poster.write_bytes(b"poster")
        film.captions.write_text("WEBVTT\n")
        frame = bytes([self.shade]) * (FAKE_WIDTH * FAKE_HEIGHT * 4)
        frames = [frame] * round(seconds * FAKE_FPS)
        ffmpeg.encode(frames, film.video, width=FAKE_WIDTH, height=FAKE_HEIGHT, fps=FAKE_FPS)
        return film


def _film_in(folder: Path, seconds: float, width: int, height: int) -> RenderedFilm:
    video, poster, vtt = (folder / name for name in ("film.mp4", "film.webp", "film.vtt"))
    return RenderedFilm(video, poster, vtt, seconds, width, height)
