"""A tier whose films are tiny but real, for tests that are about everything around the drawing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spritz_cli.media import ffmpeg
from spritz_cli.models import RenderedFilm, Spending, Template, Tier
from spritz_cli.tiers.base import Offer, Progress

WIDTH, HEIGHT, FPS = 64, 36, 5


@dataclass
class TinyTier:
    """Encodes `shade`d frames; `error` is raised instead, `seconds` are added to each film."""

    name: Tier = "static"
    shade: int = 90
    error: BaseException | None = None
    seconds: float = 0.0
    pause: float = 0.0
    made: list[str] = field(default_factory=list)
    offered: Offer = field(default_factory=Offer)
    footage: str | None = None

    def inputs(self, template: Template) -> dict[str, Any]:
        drawing = self.drawing(template)
        return drawing if self.footage is None else {**drawing, "footage": self.footage}

    def drawing(self, template: Template) -> dict[str, Any]:
        return {"template": template.document(), "tier": self.name, "shade": self.shade}

    def offer(self, template: Template) -> Offer:
        return self.offered

    def make(
        self,
        template: Template,
        scratch: Path,
        progress: Progress,
        spending: Spending,
    ) -> RenderedFilm:
        self.made.append(template.name)
        film = RenderedFilm(
            *_files(scratch), template.duration_seconds + self.seconds, WIDTH, HEIGHT
        )
        (scratch / "half a film").touch()
        for step in range(1, 11):
            time.sleep(self.pause / 10)
            progress(step / 10)
        if self.error:
            raise self.error
        film.poster.write_bytes(b"poster")
        film.captions.write_text("WEBVTT\n")
        ffmpeg.encode(self._frames(film), film.video, width=WIDTH, height=HEIGHT, fps=FPS)
        return film

    def _frames(self, film: RenderedFilm) -> list[bytes]:
        return [bytes([self.shade]) * (WIDTH * HEIGHT * 4)] * round(film.duration_seconds * FPS)


def _files(scratch: Path) -> tuple[Path, Path, Path]:
    return scratch / "film.mp4", scratch / "film.webp", scratch / "film.vtt"
