"""Pictures of parts of a frame: shrunk, cropped, or one text alone."""

from __future__ import annotations

import math

from PIL import Image

from spritz_cli.scene.boxes import Box, PixelBox, common
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import IDENTITY, Item, Layer, Leaf, Mark, Matrix, multiply

WHITE, BLACK = "#FFFFFF", "#000000"


def placed(items: tuple[Item, ...], matrix: Matrix) -> tuple[Item, ...]:
    """Return the items under one more matrix."""
    return tuple(_placed(item, matrix) for item in items)


def _placed(item: Item, matrix: Matrix) -> Item:
    if isinstance(item, Mark):
        return Mark(item.leaf, multiply(item.matrix, matrix))
    return Layer(item.opacity, item.clip, multiply(item.matrix, matrix), placed(item.items, matrix))


def without_text(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the items without their texts."""
    return tuple(
        Layer(item.opacity, item.clip, item.matrix, without_text(item.items))
        if isinstance(item, Layer)
        else item
        for item in items
        if isinstance(item, Layer) or item.leaf.tag != "text"
    )


def view(canvas: Canvas) -> Image.Image:
    """Return the pixels of a canvas without a copy; the bands are B, G, R and an unused one."""
    size = (canvas.width, canvas.height)
    return Image.frombuffer("RGBX", size, canvas.pixels, "raw", "RGBX", 0, 1)


def ink(item: Item, box: PixelBox) -> Image.Image:
    """Return the ink of one item within a box, from 0 to 255 (full ink), whatever its colour."""
    x0, y0, x1, y1 = box
    canvas = Canvas(x1 - x0, y1 - y0)
    paper = Leaf("rect", (("width", f"{x1 - x0}"), ("height", f"{y1 - y0}"), ("fill", WHITE)))
    shifted = placed((_black(item),), (1.0, 0.0, 0.0, 1.0, -float(x0), -float(y0)))
    canvas.show((Mark(paper, IDENTITY), *shifted))
    return view(canvas).getchannel(0).point(_INVERTED)


def pixels_of(box: Box, width: int, height: int) -> PixelBox:
    """Return the whole pixels of a box that lie on the frame."""
    left, top, right, bottom = box
    pixels = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    return common(pixels, (0, 0, width, height))


def _black(item: Item) -> Item:
    if isinstance(item, Layer):
        return Layer(1.0, item.clip, item.matrix, tuple(map(_black, item.items)))
    kept = tuple(pair for pair in item.leaf.attributes if pair[0] not in _COLOURS)
    return Mark(Leaf(item.leaf.tag, (*kept, ("fill", BLACK)), item.leaf.text), item.matrix)


_COLOURS = frozenset(("fill", "fill-opacity", "stroke", "stroke-opacity"))
_INVERTED = [255 - value for value in range(256)]
