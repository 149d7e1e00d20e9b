"""Stock CairoSVG into the encoder: raw frames, PNG frames, or a still layer split by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import cairosvg
import motion
from cairosvg_frames import Drawing, split_frames, whole_frames

RAW = ("-f", "rawvideo", "-pix_fmt", "bgr0", "-s", f"{motion.WIDTH}x{motion.HEIGHT}")
PNG = ("-f", "image2pipe", "-c:v", "png")


def main(way: str, output: str) -> None:
    if way == "raw":
        encode(whole_frames(), [*RAW, "-r", str(motion.FPS)], output)
    elif way == "split":
        encode(split_frames(), [*RAW, "-r", str(motion.FPS)], output)
    elif way == "png":
        encode(png_frames(), [*PNG, "-framerate", str(motion.FPS)], output)
    else:
        sys.exit(f"unknown way: {way}")


def png_frames() -> Iterator[bytes]:
    drawing = Drawing()
    for t in motion.times():
        yield cairosvg.svg2png(bytestring=drawing.svg(t))


def encode(frames: Iterable[Any], reading: list[str], output: str) -> None:
    ffmpeg, settings = motion.encoder()
    command = [ffmpeg, "-hide_banner", "-v", "error", "-y", *reading, "-i", "-", *settings, output]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
    if process.stdin is None:
        sys.exit("ffmpeg has no input")
    for frame in frames:
        process.stdin.write(frame)
    process.stdin.close()
    sys.exit(process.wait())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
