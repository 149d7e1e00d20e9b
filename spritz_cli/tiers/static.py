"""The animated infographic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spritz_cli.media import captions, ffmpeg
from spritz_cli.models import RenderedFilm, Spending, Template
from spritz_cli.scene import tokens
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.tiers.base import Offer, Progress

if TYPE_CHECKING:
    from spritz_cli.scene.drawing import Scene

#: Raise it when a change of the engine changes pixels: films are then made again.
RENDERER = 2


class StaticTier:
    """Draws the scene of a template frame by frame and encodes it."""

    name: Literal["static"] = "static"

    def __init__(self, library: SceneLibrary) -> None:
        self._library = library

    def inputs(self, template: Template) -> dict[str, Any]:
        """Return everything that the film is made from; its digest is the fingerprint."""
        return self.drawing(template)

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the same as `inputs`: all of the film is drawn."""
        return drawing_inputs(self._library, template, template.fallback_static)

    def offer(self, template: Template) -> Offer:  # noqa: ARG002 - all are free
        """Return an offer at no cost."""
        return Offer()

    def make(
        self,
        template: Template,
        scratch: Path,
        progress: Progress,
        spending: Spending,  # noqa: ARG002 - drawing is free
    ) -> RenderedFilm:
        """Write film, poster and captions; the poster is the last frame."""
        from spritz_cli.scene.drawing import held

        scene = self._library.open(template)
        video, poster, vtt = (scratch / f"film.{kind}" for kind in ("mp4", "webp", "vtt"))
        vtt.write_text(captions.webvtt(template.captions), "utf-8")
        still = held(scene)
        ffmpeg.encode(
            _watched(scene, still, progress, poster),
            video,
            width=tokens.WIDTH,
            height=tokens.HEIGHT,
            fps=tokens.FPS,
            held=still,
            captions=vtt,
        )
        return RenderedFilm(video, poster, vtt, scene.duration, tokens.WIDTH, tokens.HEIGHT)


def drawing_inputs(library: SceneLibrary, template: Template, scene: str) -> dict[str, Any]:
    """Return everything that a drawing of a template is made from."""
    from spritz_cli.scene.font import font_digest

    return {
        "template": template.document(),
        "scene": library.sources(scene),
        "font": font_digest(),
        "frame": [tokens.WIDTH, tokens.HEIGHT, tokens.FPS],
        "encoder": [ffmpeg.version(), *ffmpeg.ENCODER_SETTINGS],
        "renderer": [RENDERER, _version("cairosvg"), _version("uharfbuzz")],
    }


@cache
def _version(package: str) -> str:
    # Cached: each call parses the metadata, and a plan asks for every film.
    return metadata.version(package)


def _watched(scene: Scene, still: int, progress: Progress, poster: Path) -> Iterator[bytearray]:
    from spritz_cli.media.poster import save_poster
    from spritz_cli.scene.drawing import frames

    total = round(scene.duration * tokens.FPS) - still
    frame = bytearray()
    for index, frame in enumerate(frames(scene, held=still), start=1):
        yield frame
        progress(index / total)
    save_poster(frame, tokens.WIDTH, tokens.HEIGHT, poster)
