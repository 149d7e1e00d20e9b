"""Text as outlines of the bundled font: shaped by HarfBuzz, filled by cairo.

Shaping gives kerning, tabular digits and the exact weight of the variable font. It needs
neither fontconfig nor a system font, so a line looks the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import uharfbuzz

from spritz_cli.errors import RenderError
from spritz_cli.scene.font import FAMILY, font_file

FEATURES = {"kern": True, "tnum": True, "liga": False}
WEIGHTS = range(300, 901)

#: One step of an outline in em units, y downwards: ("M"|"L"|"C"|"Z", coordinates).
Step = tuple[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Outline:
    """A glyph of one weight. There is one object for each, so identity is equality."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Line:
    """One shaped line: its `width`, and each glyph as x, y and outline. All in em."""

    width: float
    glyphs: tuple[tuple[float, float, Outline], ...]


@cache
def shape(text: str, weight: int) -> Line:
    """Lay out one line of text; raises RenderError for a glyph that the font lacks."""
    font = _font(weight)
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    uharfbuzz.shape(font, buffer, FEATURES)
    glyphs = []
    x = 0.0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        if info.codepoint == 0:
            raise RenderError(
                f"the font {FAMILY} has no glyph for {text[info.cluster]!r} in {text!r}",
                hint="Draw the sign as a path, or use another word.",
            )
        outline = _glyph(info.codepoint, weight)
        if outline.steps:
            glyphs.append(((x + position.x_offset) / _em(), -position.y_offset / _em(), outline))
        x += position.x_advance
    return Line(x / _em(), tuple(glyphs))


def width(text: str, size: float, weight: int) -> float:
    """Return the width of one line in px at `size` px."""
    return shape(text, weight).width * size


def missing_glyphs(text: str) -> tuple[str, ...]:
    """Return the characters that the font cannot draw."""
    face_font = _font(400)
    return tuple(
        sign for sign in dict.fromkeys(text) if not sign.isspace() and not _has(face_font, sign)
    )


@cache
def _face() -> uharfbuzz.Face:
    return uharfbuzz.Face(font_file().read_bytes())


@cache
def _em() -> int:
    return int(_face().upem)


@cache
def _font(weight: int) -> uharfbuzz.Font:
    if weight not in WEIGHTS:
        raise RenderError(f"font-weight must be {WEIGHTS[0]}-{WEIGHTS[-1]}, got {weight}")
    font = uharfbuzz.Font(_face())
    font.set_variations({"wght": weight})
    return font


def _has(font: uharfbuzz.Font, sign: str) -> bool:
    return bool(font.get_nominal_glyph(ord(sign)))


@cache
def _glyph(glyph: int, weight: int) -> Outline:
    pen = _Pen()
    _font(weight).draw_glyph(glyph, _draw_functions(), pen)
    return Outline(tuple(pen.steps))


@cache
def _draw_functions() -> uharfbuzz.DrawFuncs:
    functions = uharfbuzz.DrawFuncs()
    functions.set_move_to_func(lambda x, y, pen: pen.add("M", x, y))
    functions.set_line_to_func(lambda x, y, pen: pen.add("L", x, y))
    functions.set_cubic_to_func(lambda *args: args[-1].add("C", *args[:-1]))
    functions.set_quadratic_to_func(lambda cx, cy, x, y, pen: pen.add_quadratic(cx, cy, x, y))
    functions.set_close_path_func(lambda pen: pen.add("Z"))
    return functions


class _Pen:
    """Collects an outline in em units; quadratic curves become cubic, as cairo needs them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.point = (0.0, 0.0)

    def add(self, command: str, *coordinates: float) -> None:
        if coordinates:
            self.point = (coordinates[-2], coordinates[-1])
        self.steps.append((command, tuple(_em_units(coordinates))))

    def add_quadratic(self, cx: float, cy: float, x: float, y: float) -> None:
        x0, y0 = self.point
        first = (x0 + 2 * (cx - x0) / 3, y0 + 2 * (cy - y0) / 3)
        second = (x + 2 * (cx - x) / 3, y + 2 * (cy - y) / 3)
        self.add("C", *first, *second, x, y)


def _em_units(coordinates: Iterable[float]) -> Iterable[float]:
    # Rounded to hundredths of a font unit: compilers differ in the last bits of float
    # arithmetic, and these must not reach a pixel.
    for index, value in enumerate(coordinates):
        sign = -1 if index % 2 else 1
        yield sign * round(value, 2) / _em()
