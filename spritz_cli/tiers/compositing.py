"""Generated footage with our own drawing over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spritz_cli.errors import RenderError
from spritz_cli.media import captions, ffmpeg
from spritz_cli.media.montage import Clip, Frame
from spritz_cli.models import RenderedFilm
from spritz_cli.scene import tokens
from spritz_cli.scene.drawing import Scene, frames
from spritz_cli.storage.files.disk import disk_errors, measure
from spritz_cli.storage.footage import Order
from spritz_cli.tiers.base import Progress

#: Footage fills the frame down to the horizon, and is centred in that window.
FRAME = Frame(tokens.WIDTH, tokens.HEIGHT, tokens.FPS, window=604)

#: The share of a film that footage must cover; the rest is its last frame, held.
LEAST_SHARE = 0.5


def compose(
    scene: Scene,
    clips: Sequence[Clip],
    scratch: Path,
    progress: Progress,
) -> RenderedFilm:
    """Write film, poster and captions: segments of footage, joined, below a scene.

    Raises RenderError if the footage is much too short.
    """
    _require_enough(clips, scene)
    video, poster, vtt = (scratch / f"film.{kind}" for kind in ("mp4", "webp", "vtt"))
    vtt.write_text(captions.webvtt(scene.template.captions), "utf-8")
    ffmpeg.compose(
        clips,
        _watched(scene, progress),
        video,
        frame=FRAME,
        duration=scene.duration,
        captions=vtt,
    )
    _save_poster(video, scene.duration, poster)
    return RenderedFilm(video, poster, vtt, scene.duration, FRAME.width, FRAME.height)


def clip_of(order: Order, path: Path) -> Clip:
    """Return the stored segment of an order, at `path`, as a clip.

    Decodes it unless it has the same bytes that were decoded on delivery. Raises
    RenderError if the footage is damaged.
    """
    if order.frames and order.matrix and order.fps == FRAME.fps:
        with disk_errors(path.parent):
            if measure(path)["sha256"] == order.sha256:
                return Clip(path, order.frames, order.matrix)
    return ffmpeg.footage(path, FRAME.fps)


def _require_enough(clips: Sequence[Clip], scene: Scene) -> None:
    seconds = sum(clip.frames for clip in clips) / FRAME.fps
    if seconds < LEAST_SHARE * scene.duration:
        raise RenderError(
            f"{scene.template.name}: {seconds:.1f} s of footage are too little "
            f"for a film of {scene.duration:.0f} s",
            hint="Order longer or more segments.",
        )


def _watched(scene: Scene, progress: Progress) -> Iterator[bytearray]:
    total = round(scene.duration * FRAME.fps)
    for index, pixels in enumerate(frames(scene, transparent=True), start=1):
        yield pixels
        progress(index / total)


def _save_poster(video: Path, duration: float, path: Path) -> None:
    from spritz_cli.media.poster import save_poster

    # Half a frame early: from there on, the last frame is the first one found.
    last = ffmpeg.still(video, duration - 1.5 / FRAME.fps, width=FRAME.width, height=FRAME.height)
    save_poster(last, FRAME.width, FRAME.height, path)
