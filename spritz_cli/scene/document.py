"""A frame's SVG as a flat list of marks: leaves to draw and the matrices that place them.

Scenes use a strict subset of SVG: `g`, the basic shapes, `path`, one-line `text`,
gradients and clip paths. Anything else raises an error that names it, so that the picture
is what its author meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, fromstring

from spritz_cli.errors import RenderError

Matrix = tuple[float, float, float, float, float, float]
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = frozenset(("rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text"))
GRADIENTS = frozenset(("linearGradient", "radialGradient"))

#: A transform that scales areas by less than this draws nothing.
FLAT = 1e-9

#: Attributes that children do not inherit from their group.
OWN = frozenset(("id", "transform", "opacity", "clip-path"))

SIZES = frozenset(("width", "height", "r", "rx", "ry", "stroke-width", "font-size"))
NUMBERS = SIZES | {"x", "y", "cx", "cy", "x1", "y1", "x2", "y2", "stroke-dashoffset"}
NUMBERS |= {"fill-opacity", "stroke-opacity"}

#: Attributes that a shape may have, or a group for its shapes.
USUAL = NUMBERS | {"d", "points", "fill", "fill-rule", "stroke", "stroke-dasharray"}
USUAL |= {"stroke-linecap", "stroke-linejoin", "stroke-miterlimit"}
USUAL |= {"font-family", "font-weight", "text-anchor"}

_URL = re.compile(r"url\(#([^)]+)\)")
_STEP = re.compile(r"(\w+)\s*\(([^)]*)\)")


class Definition(NamedTuple):
    """A gradient or clip path with its children."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Definition, ...] = ()


class Leaf(NamedTuple):
    """One shape or line of text in its own coordinates, with the paint servers it uses."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    text: str = ""
    paints: tuple[Definition, ...] = ()


class Mark(NamedTuple):
    """A leaf and the matrix that places it on the frame."""

    leaf: Leaf
    matrix: Matrix


class Layer(NamedTuple):
    """Marks that are blended or clipped together."""

    opacity: float
    clip: Definition | None
    matrix: Matrix
    items: tuple[Item, ...]


Item = Mark | Layer


def parse(svg: str) -> tuple[Item, ...]:
    """Read one frame; raises RenderError naming the element that cannot be drawn."""
    # Only a document type can declare entities: without one there is nothing to expand.
    if "<!DOCTYPE" in svg:
        raise RenderError("the scene has a document type", hint="Remove its <!DOCTYPE …>.")
    try:
        root = fromstring(svg)  # noqa: S314
    except ParseError as exc:
        raise RenderError(f"the scene is not well-formed SVG: {exc}") from exc
    definitions = {item.get("id", ""): item for part in root.iter(_DEFS) for item in part}
    return tuple(_Reader(definitions).items(root, IDENTITY, {}))


_DEFS = f"{SVG}defs"


class _Reader:
    def __init__(self, definitions: Mapping[str, Element]) -> None:
        self._elements = definitions
        self._read: dict[str, Definition] = {}

    def items(
        self, parent: Element, matrix: Matrix, inherited: Mapping[str, str]
    ) -> Iterator[Item]:
        for element in parent:
            tag = _tag(element)
            if tag == "defs":
                continue
            if tag != "g" and tag not in SHAPES:
                raise RenderError(f"scenes cannot draw <{tag}>", hint="See svg_templates/README.md")
            yield from self._item(tag, element, matrix, inherited)

    def _item(
        self, tag: str, element: Element, matrix: Matrix, inherited: Mapping[str, str]
    ) -> Iterator[Item]:
        own = element.attrib
        opacity = _opacity(element)
        if opacity <= 0:
            return
        if "transform" in own:
            matrix = multiply(matrix_of(own["transform"]), matrix)
            if abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) < FLAT:
                return
        inside = self._inside(tag, element, matrix, inherited)
        if opacity >= 1 and "clip-path" not in own:
            yield from inside
            return
        clip = self._definition(own["clip-path"]) if "clip-path" in own else None
        items = tuple(inside)
        if items:
            yield Layer(min(opacity, 1.0), clip, matrix, items)

    def _inside(
        self, tag: str, element: Element, matrix: Matrix, inherited: Mapping[str, str]
    ) -> Iterator[Item]:
        style = {name: value for name, value in element.attrib.items() if name not in OWN}
        style = {**inherited, **style} if inherited else style
        if tag == "g":
            yield from self.items(element, matrix, style)
        else:
            yield Mark(self._leaf(tag, element, style), matrix)

    def _leaf(self, tag: str, element: Element, style: Mapping[str, str]) -> Leaf:
        if len(element):
            raise RenderError(f"<{tag}> cannot have children", hint="Use one element per line.")
        paints = tuple(
            self._definition(style[name])
            for name in ("fill", "stroke")
            if style.get(name, "").startswith("url(")
        )
        text = " ".join((element.text or "").split()) if tag == "text" else ""
        return Leaf(tag, tuple(style.items()), text, paints)

    def _definition(self, url: str) -> Definition:
        match = _URL.fullmatch(url.strip())
        if not match or match[1] not in self._elements:
            raise RenderError(f"{url} refers to an unknown id", hint="Define the id in <defs>.")
        name = match[1]
        if name not in self._read:
            self._read[name] = _definition(self._elements[name])
        return self._read[name]


def check(leaf: Leaf) -> None:
    """Raise RenderError for values that CairoSVG would draw wrongly without an error."""
    for name, value in leaf.attributes:
        if name not in USUAL and not name.startswith("data-"):
            raise RenderError(
                f"scenes cannot draw {name}= on <{leaf.tag}>", hint="See svg_templates/README.md"
            )
        if name in NUMBERS and not _is_number(value, at_least=0 if name in SIZES else -math.inf):
            shown = " ".join(f'{key}="{text[:60]}"' for key, text in leaf.attributes)
            least = " of at least 0" if name in SIZES else ""
            raise RenderError(f"<{leaf.tag} {shown}>: {name} must be a finite number{least}")
        if name in ("d", "points") and "nan" in value:
            raise RenderError(f"<{leaf.tag}> has a coordinate that is not a number: {value[:80]}")


def _is_number(value: str, at_least: float) -> bool:
    try:
        return at_least <= float(value) < math.inf
    except ValueError:
        return False


def _definition(element: Element) -> Definition:
    children = tuple(_definition(child) for child in element)
    return Definition(_tag(element), tuple(element.attrib.items()), children)


def _tag(element: Element) -> str:
    # Only comments and processing instructions have no text as tag, and the parser drops both.
    return element.tag.rpartition("}")[2]


def _opacity(element: Element) -> float:
    value = element.get("opacity", "1")
    try:
        opacity = float(value)
    except ValueError:
        opacity = math.nan
    if not math.isfinite(opacity):
        raise RenderError(f"<{_tag(element)}>: opacity must be a finite number, got {value!r}")
    return opacity


def multiply(a: Matrix, b: Matrix) -> Matrix:
    """Return the matrix that applies `a` first, then `b`."""
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    return (
        a0 * b0 + a1 * b2,
        a0 * b1 + a1 * b3,
        a2 * b0 + a3 * b2,
        a2 * b1 + a3 * b3,
        a4 * b0 + a5 * b2 + b4,
        a4 * b1 + a5 * b3 + b5,
    )


@lru_cache(maxsize=4096)
def matrix_of(transform: str) -> Matrix:
    """Return the matrix of an SVG transform list."""
    matrix = IDENTITY
    if _STEP.sub("", transform).strip(" ,\t\n"):
        # CairoSVG would silently leave out what is not of the form `verb(numbers)`.
        raise RenderError(f"transform {transform!r} cannot be drawn")
    for verb, arguments in _STEP.findall(transform):
        try:
            values = [float(value) for value in re.split(r"[\s,]+", arguments.strip())]
            step = _STEPS[verb](*values)
        except (KeyError, TypeError, ValueError):
            step = (math.nan,) * 6
        matrix = multiply(step, matrix)
    if not all(map(math.isfinite, matrix)):
        raise RenderError(f"transform {transform!r} cannot be drawn")
    return matrix


def _translate(x: float, y: float = 0.0) -> Matrix:
    return (1.0, 0.0, 0.0, 1.0, x, y)


def _scale(x: float, y: float | None = None) -> Matrix:
    return (x, 0.0, 0.0, x if y is None else y, 0.0, 0.0)


def _rotate(degrees: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = (cos, sin, -sin, cos, 0.0, 0.0)
    return multiply(multiply(_translate(-x, -y), turn), _translate(x, y))


def _skew_x(degrees: float) -> Matrix:
    return (1.0, 0.0, math.tan(math.radians(degrees)), 1.0, 0.0, 0.0)


def _matrix(*values: float) -> Matrix:
    a, b, c, d, e, f = values
    return (a, b, c, d, e, f)


_STEPS: dict[str, Callable[..., Matrix]] = {
    "translate": _translate,
    "scale": _scale,
    "rotate": _rotate,
    "skewX": _skew_x,
    "matrix": _matrix,
}
