"""Doubles and sample values for tests, of this package and of those who build on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis

from spritz_cli.errors import VidgenError
from spritz_cli.models import Cue, KeyFigure, RenderedFilm, Spending, Template, TextCard, Tier
from spritz_cli.storage.footage import Order
from spritz_cli.tiers.base import Offer, Progress
from spritz_cli.tiers.brief import wish


def fake_redis() -> Redis:
    """Return a Redis of its own in this process's memory (needs `fakeredis[lua]`)."""
    import fakeredis

    return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)


def sample_template(**changes: Any) -> Template:
    """Return a complete template; `changes` name the fields that should differ."""
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
    """Return an order of footage as the template asks for it now, stored unless `changes` say."""
    template = template or sample_template()
    order = Order(
        id="0123456789abcdef",
        template=template.name,
        wish=wish(template),
        paid="a" * 64,
        part=1,
        parts=1,
        attempt=1,
        provider="openai",
        model="sora-2",
        prompt=template.prompt_template,
        size="1280x720",
        seconds=8,
        micro=800_000,
        day="2026-11-23",
        created_at=1_795_000_000.0,
        state="stored",
    )
    return order._replace(**changes)


def sample_film(folder: Path, content: str = "film") -> RenderedFilm:
    """Write a file set whose digest depends on `content` (no player could show it)."""
    film = RenderedFilm(
        video=folder / "film.mp4",
        poster=folder / "poster.webp",
        captions=folder / "captions.vtt",
        duration_seconds=15.0,
        width=1280,
        height=720,
    )
    film.video.write_text(f"mp4 of {content}\n")
    film.poster.write_text(f"webp of {content}\n")
    film.captions.write_text("WEBVTT\n")
    return film


class FakeTier:
    """Writes a tiny file set at once, or raises `error`; `made` lists what it was asked for."""

    def __init__(
        self,
        name: Tier = "static",
        *,
        content: str = "film",
        error: VidgenError | None = None,
        price: int = 0,
    ) -> None:
        self._name = name
        self.content = content
        self.error = error
        self.price = price
        self.made: list[str] = []

    @property
    def name(self) -> Tier:
        return self._name

    def inputs(self, template: Template) -> dict[str, Any]:
        """Return what a fingerprint is taken of; `content` stands for the drawing."""
        return {**template.document(), "drawing": self.content}

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the same: all of the film counts as drawn."""
        return self.inputs(template)

    def offer(self, template: Template) -> Offer:  # noqa: ARG002
        """Return `price` for every template."""
        return Offer(self.price)

    def make(
        self,
        template: Template,
        scratch: Path,
        progress: Progress,
        spending: Spending,  # noqa: ARG002
    ) -> RenderedFilm:
        """Write the files of `sample_film`, with a digest of its own for each template."""
        self.made.append(template.name)
        if self.error:
            raise self.error
        progress(1.0)
        film = sample_film(scratch, f"{template.name} {self.content} {template.parameters}")
        return film._replace(duration_seconds=float(template.duration_seconds))
