"""The filter graph of ffmpeg that joins segments of footage and puts a drawing over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Between two segments if there is enough footage, else they are joined by a cut.
CROSSFADE_SECONDS = 0.4

_SCALING = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Frame:
    """The frame of a film, in px; footage is seen in its uppermost `window` px."""

    width: int
    height: int
    fps: int
    window: int


@dataclass(frozen=True)
class Clip:
    """One segment of footage; `frames` at the rate of the film, `matrix` of its colours."""

    path: Path
    frames: int
    matrix: str


def montage(clips: Sequence[Clip], frame: Frame, frames: int) -> str:
    """Return a filter graph, without its last label, that yields `frames` frames.

    Input 0 is the drawing in premultiplied BGRA, the clips are inputs 1 and up. The
    graph works in RGB, which keeps the edges of words crisp.
    """
    parts = [*_segments(clips, frame), *_joints(clips, frame.fps, frames)]
    # Repeat the last frame without end; trim sets the end.
    whole = f"tpad=stop=-1:stop_mode=clone,trim=end_frame={frames},setpts=N/{frame.fps}/TB"
    parts.append(f"[joined]{whole},pad={frame.width}:{frame.height}:0:0[footage]")
    parts.append("[footage][0:v]overlay=format=gbrp:alpha=premultiplied")
    return ";".join(parts)


def _segments(clips: Sequence[Clip], frame: Frame) -> Iterator[str]:
    """Yield a chain for each clip: crop its middle to the window's shape, then scale it."""
    width, height = frame.width, frame.window
    # Crop before scaling: scaling a very narrow film first would make it huge.
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
