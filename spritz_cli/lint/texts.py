"""The texts of a frame: their words, their ink, and their visibility."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from spritz_cli.lint.pictures import ink
from spritz_cli.scene import text as font
from spritz_cli.scene.boxes import Box, common, is_empty, moved, transformed, union
from spritz_cli.scene.document import IDENTITY, Definition, Item, Layer, Leaf, Mark, Matrix

#: The attribute of numbers that a scene computes itself. Its value names their meaning.
DERIVED = "data-derived"


class Text(NamedTuple):
    """One line of text on one frame."""

    words: str
    at: tuple[float, float]
    box: Box
    size: float
    weight: int
    fill: str
    fill_opacity: float
    opacity: float
    derived: str
    alone: Item

    @property
    def label(self) -> str:
        return label(self.words, self.box)


def label(words: str, box: Box) -> str:
    """Return the words of a text and the position of its ink (left, bottom)."""
    return f"“{words}” at {box[0]:.0f}, {box[3]:.0f}"


def texts(items: tuple[Item, ...]) -> tuple[Text, ...]:
    """Return the visible texts of a frame in painting order."""
    return tuple(_texts(items, 1.0, ()))


_Clips = tuple[tuple[Definition, Matrix], ...]


def _texts(items: tuple[Item, ...], opacity: float, clips: _Clips) -> Iterator[Text]:
    for item in items:
        if isinstance(item, Layer):
            inner = clips if item.clip is None else (*clips, (item.clip, item.matrix))
            yield from _texts(item.items, opacity * item.opacity, inner)
        elif item.leaf.tag == "text" and item.leaf.text:
            text = _text(item, opacity, clips)
            if text is not None:
                yield text


def _text(mark: Mark, opacity: float, clips: _Clips) -> Text | None:
    style = dict(mark.leaf.attributes)
    fill = style.get("fill", "#000000")
    box = _visible_box(mark, style, clips)
    if box is None or fill == "none":
        return None
    x, y = float(style.get("x", 0)), float(style.get("y", 0))
    a, b, c, d, *_ = mark.matrix
    return Text(
        words=mark.leaf.text,
        at=moved(x, y, mark.matrix),
        box=box,
        size=_size(style) * math.sqrt(abs(a * d - b * c)),
        weight=_weight(style),
        fill=fill,
        fill_opacity=float(style.get("fill-opacity", 1)),
        opacity=opacity,
        derived=style.get(DERIVED, ""),
        alone=_clipped(mark, clips),
    )


def _visible_box(mark: Mark, style: dict[str, str], clips: _Clips) -> Box | None:
    box = _ink_box(mark.leaf.text, _weight(style), _size(style), style.get("text-anchor", "start"))
    x, y = float(style.get("x", 0)), float(style.get("y", 0))
    seen = transformed((box[0] + x, box[1] + y, box[2] + x, box[3] + y), mark.matrix)
    for clip, matrix in clips:
        seen = common(seen, transformed(_extent(clip), matrix))
    return None if is_empty(seen) else seen


def _size(style: dict[str, str]) -> float:
    return float(style.get("font-size", 28))


def _weight(style: dict[str, str]) -> int:
    return int(style.get("font-weight", 600))


@lru_cache(maxsize=10_000)
def _ink_box(words: str, weight: int, size: float, anchor: str) -> Box:
    """Return the box of the ink of a line relative to its anchor, zeros without ink."""
    width = font.width(words, size, weight)
    left, top = math.ceil(size), math.ceil(1.5 * size)
    area = (-left, -top, math.ceil(width) + left, math.ceil(size))
    style = (("font-size", f"{size}"), ("font-weight", f"{weight}"))
    image = ink(Mark(Leaf("text", style, words), IDENTITY), area)
    bounds = image.point(_SOLID).getbbox() or (left, top, left, top)
    shift = {"middle": width / 2, "end": width}.get(anchor, 0.0)
    return (
        bounds[0] - left - shift,
        float(bounds[1] - top),
        bounds[2] - left - shift,
        float(bounds[3] - top),
    )


#: A pixel with less than a third of ink shows no edge.
_SOLID = [255 if value > 85 else 0 for value in range(256)]


def _extent(clip: Definition) -> Box:
    return union([_shape_extent(child) for child in clip.children])


def _shape_extent(shape: Definition) -> Box:
    style = dict(shape.attributes)
    if shape.tag == "rect":
        x, y = float(style.get("x", 0)), float(style.get("y", 0))
        return x, y, x + float(style["width"]), y + float(style["height"])
    if shape.tag == "circle":
        x, y, r = (float(style.get(name, 0)) for name in ("cx", "cy", "r"))
        return x - r, y - r, x + r, y + r
    # The extent of other shapes is not known: treat them as unbounded.
    return _ANYWHERE


_ANYWHERE: Box = (-1e6, -1e6, 1e6, 1e6)


def _clipped(mark: Mark, clips: _Clips) -> Item:
    item: Item = mark
    for clip, matrix in reversed(clips):
        item = Layer(1.0, clip, matrix, (item,))
    return item
