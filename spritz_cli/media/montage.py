"""Segments of footage joined into one picture under a drawing: ffmpeg's filter graph for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Between two segments, if there is footage to spare; else one cuts to the next.
CROSSFADE_SECONDS = 0.4

_SCALING = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Frame:
    """The picture that is made: px, frames a second; `window` is how far down footage is seen."""

    width: int
    height: int
    fps: int
    window: int


@dataclass(frozen=True)
class Clip:
    """One segment of footage; `frames` at the film's rate, `matrix` that of its colours."""

    path: Path
    frames: int
    matrix: str


def montage(clips: Sequence[Clip], frame: Frame, frames: int) -> str:
    """Return a filter graph without its last label: `frames` pictures of footage and drawing.

    Input 0 is the drawing in premultiplied BGRA, inputs 1 and up are the clips.
    All is RGB until the end, so that the edges of words stay as crisp as they were drawn.
    """
    parts = [*_segments(clips, frame), *_joints(clips, frame.fps, frames)]
    # The last picture is held as long as needed; there is no end to that but the trim's.
    whole = f"tpad=stop=-1:stop_mode=clone,trim=end_frame={frames},setpts=N/{frame.fps}/TB"
    parts.append(f"[joined]{whole},pad={frame.width}:{frame.height}:0:0[footage]")
    parts.append("[footage][0:v]overlay=format=gbrp:alpha=premultiplied")
    return ";".join(parts)


def _segments(clips: Sequence[Clip], frame: Frame) -> Iterator[str]:
    """Yield a chain for each clip: its middle, as large as has the window's shape, is scaled."""
    width, height = frame.width, frame.window
    # Cut before scaling: a ribbon of a film would be scaled to a giant.
    middle = f"crop=w='min(iw,ih*{width}/{height}/sar)':h='min(ih,iw*sar*{height}/{width})'"
    for index, clip in enumerate(clips):
        scale = f"scale={width}:{height}:in_color_matrix={clip.matrix}:{_SCALING},format=gbrp"
        rate = f"setsar=1,setpts=PTS-STARTPTS,fps={frame.fps}"
        yield f"[{index + 1}:v:0]{middle},{scale},{rate}[s{index}]"


def _joints(clips: Sequence[Clip], fps: int, frames: int) -> Iterator[str]:
    if not _can_crossfade(clips, fps, frames):
        sources = "".join(f"[s{index}]" for index in range(len(clips)))
        yield f"{sources}concat=n={len(clips)}[joined]"
        return
    before, length = "[s0]", clips[0].frames
    for index, clip in enumerate(clips[1:], start=1):
        offset = length / fps - CROSSFADE_SECONDS
        label = "[joined]" if index == len(clips) - 1 else f"[j{index}]"
        fade = f"xfade=duration={CROSSFADE_SECONDS}:offset={offset:.6f}"
        yield f"{before}[s{index}]{fade}{label}"
        before, length = label, length + clip.frames - _overlap(fps)


def _can_crossfade(clips: Sequence[Clip], fps: int, frames: int) -> bool:
    spare = sum(clip.frames for clip in clips) - _overlap(fps) * (len(clips) - 1) - frames
    shortest = min(clip.frames for clip in clips)
    return len(clips) > 1 and spare >= 0 and shortest > 2 * _overlap(fps)


def _overlap(fps: int) -> int:
    return round(CROSSFADE_SECONDS * fps)
