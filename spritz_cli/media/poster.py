"""Still pictures from raw frames: posters, and sheets of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Loads the plugin now: Pillow would load it for the first poster, when memory may be short.
from PIL import Image, WebPImagePlugin as WebPImagePlugin


def picture(pixels: bytes | bytearray, width: int, height: int) -> Image.Image:
    """Return a raw B, G, R, unused frame as an RGB image with a copy of the pixels."""
    return Image.frombuffer("RGB", (width, height), bytes(pixels), "raw", "BGRX", 4 * width, 1)


def save_poster(pixels: bytes | bytearray, width: int, height: int, path: Path) -> None:
    """Write the poster (WebP) from a raw frame: the colours of a decoded one differ."""
    picture(pixels, width, height).save(path, "WEBP", quality=90, method=4)


def save_png(image: Image.Image, path: Path) -> None:
    image.save(path, "PNG")


def sheet(pictures: Sequence[Image.Image], columns: int, gap: int = 8) -> Image.Image:
    """Return one image with pictures of the same size in rows."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    canvas = Image.new(
        "RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "#1C2440"
    )
    for index, image in enumerate(pictures):
        row, column = divmod(index, columns)
        canvas.paste(image, (gap + column * (width + gap), gap + row * (height + gap)))
    return canvas
