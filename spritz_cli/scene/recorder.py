"""Reads single elements with CairoSVG, once, into recordings that cairo can paint anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, lru_cache
from struct import Struct
from typing import Any, NamedTuple

from spritz_cli.errors import InfrastructureError, MissingLibrary, RenderError
from spritz_cli.scene import text
from spritz_cli.scene.document import GRADIENTS, IDENTITY, USUAL, Definition, Leaf, Matrix, check

try:
    import cairocffi
    import cairosvg.surface
    from cairosvg.colors import color
    from cairosvg.defs import gradient_or_pattern
    from cairosvg.helpers import PointError, normalize, paint, size
except OSError as exc:
    if any(words in str(exc) for words in ("failed to map", "annot allocate memory")):
        raise InfrastructureError(
            f"there is no memory left to load libcairo: {str(exc).splitlines()[-1]}",
            hint="Give vidgen more memory, or try fewer --workers.",
        ) from exc
    raise MissingLibrary(
        f"the system library libcairo is missing: {exc}",
        hint="Install it: apt-get install libcairo2 (Debian, Ubuntu), dnf install cairo (Fedora), "
        "apk add cairo (Alpine), brew install cairo (macOS).",
    ) from exc

#: The canvas imports cairocffi from here, so that one place reports a missing libcairo.
__all__ = ["Extents", "Recorder", "Recording", "cairocffi"]

cairo, _new = cairocffi.cairo, cairocffi.ffi.new

Extents = tuple[float, float, float, float]


class Stroke(NamedTuple):
    source: Any
    width: float
    cap: int
    join: int
    miter_limit: float
    dashes: tuple[float, ...]
    offset: float

    @property
    def reach(self) -> float:
        """Upper bound on how far from the path there is ink; the exact one would need a drawing."""
        corner = self.miter_limit if self.join == cairocffi.LINE_JOIN_MITER else 1.0
        return max(corner, math.sqrt(2)) * self.width / 2

    def apply_to(self, pen: Any) -> None:
        cairo.cairo_set_source(pen, _pointer(self.source))
        cairo.cairo_set_line_width(pen, self.width)
        cairo.cairo_set_line_cap(pen, self.cap)
        cairo.cairo_set_line_join(pen, self.join)
        cairo.cairo_set_miter_limit(pen, self.miter_limit)
        cairo.cairo_set_dash(pen, self.dashes, len(self.dashes), self.offset)


class Recording(NamedTuple):
    """The outline of an element and its paints, in the element's own coordinates."""

    extents: Extents | None
    """x, y, width, height of the ink; None if nothing is visible."""
    path: Any = None
    fill: Any = None
    fill_rule: int = cairocffi.FILL_RULE_WINDING
    stroke: Stroke | None = None

    def paint(self, context: Any, matrix: Matrix) -> None:
        """Paint the element where the matrix places it."""
        # Not by cairocffi's methods: each checks the status, half the time of a small shape.
        pen = _pointer(context)
        cairo.cairo_save(pen)
        if matrix[:4] == IDENTITY[:4]:
            # Most marks are only translated.
            cairo.cairo_translate(pen, matrix[4], matrix[5])
        else:
            cairo.cairo_transform(pen, _new("cairo_matrix_t *", matrix))
        cairo.cairo_append_path(pen, self.path)
        if self.fill is not None:
            cairo.cairo_set_source(pen, _pointer(self.fill))
            cairo.cairo_set_fill_rule(pen, self.fill_rule)
            cairo.cairo_fill_preserve(pen)
        if self.stroke is not None:
            self.stroke.apply_to(pen)
            cairo.cairo_stroke_preserve(pen)
        # A path that is left over would become part of the next clip.
        cairo.cairo_new_path(pen)
        cairo.cairo_restore(pen)
        _check_status(context)


class Recorder(cairosvg.surface.Surface):  # type: ignore[misc]
    """CairoSVG's reader of single elements, without its document and text layout."""

    def __init__(self, width: int, height: int) -> None:
        # Not the constructor of the base class: it parses a document. These are its other fields.
        self.context_width, self.context_height = width, height
        self.cursor_position, self.cursor_d_position = [0, 0], [0, 0]
        self.text_path_width = 0
        for registry in _REGISTRIES:
            setattr(self, registry, {})
        self.parent_node = self._old_parent_node = None
        self.dpi, self.font_size, self.stroke_and_fill = 96, 16, False
        self.map_rgba = self.map_image = None
        # Holds the outline and the paints of one element; nothing is drawn on it.
        self._scratch = cairocffi.Context(cairocffi.ImageSurface(cairocffi.FORMAT_A8, 1, 1))

    def record(self, leaf: Leaf) -> Recording:
        """Return the recording of a leaf; raises RenderError if it cannot be drawn."""
        check(leaf)
        self.context = self._scratch
        self.gradients = {dict(paint.attributes)["id"]: _tree(paint) for paint in leaf.paints}
        node = _Node(_OUTLINE if leaf.tag == "text" else leaf.tag, leaf.attributes, leaf.text)
        self.context.save()
        try:
            return self._record(node)
        except (ValueError, TypeError, KeyError, IndexError, cairocffi.CairoError) as exc:
            shown = " ".join(f'{name}="{value[:60]}"' for name, value in leaf.attributes)
            raise RenderError(f"<{leaf.tag} {shown}> cannot be drawn: {exc!r}") from exc
        finally:
            self.context.restore()

    def trace(self, context: Any, clip: Definition) -> None:
        """Add the outline of a clip path to the context's path."""
        self.context, self.font_size = context, 16
        for child in clip.children:
            # A child with other attributes, such as a transform, is left to CairoSVG.
            node = _Node(child.tag, child.attributes)
            trace = self._trace if USUAL.issuperset(node) else self.draw
            trace(node)

    def extents(self, clip: Definition) -> Extents:
        """Return x, y, width, height of a clip path, in its own coordinates."""
        # Save and restore: an arc changes the tolerance of the context.
        self._scratch.save()
        self._scratch.new_path()
        self.trace(self._scratch, clip)
        self._scratch.restore()
        x0, y0, x1, y1 = self._scratch.path_extents()
        return x0, y0, x1 - x0, y1 - y0

    def _record(self, node: _Node) -> Recording:
        self.font_size = size(self, node.get("font-size", "16"))
        self._scratch.new_path()
        self._trace(node)
        path = _copied_path(self._scratch)
        fill, stroke = self._fill(node), self._stroke(node)
        visible = path.num_data and (fill or stroke)
        reach = stroke.reach if stroke else 0.0
        extents = _around(self._scratch.path_extents(), reach) if visible else None
        rule = _RULES.get(node.get("fill-rule", ""), cairocffi.FILL_RULE_WINDING)
        return Recording(extents, path, fill, rule, stroke)

    def _trace(self, node: _Node) -> None:
        if size(self, node.get("width", "1")) and size(self, node.get("height", "1")):
            self.context.move_to(size(self, node.get("x"), "x"), size(self, node.get("y"), "y"))
            with suppress(PointError):
                cairosvg.surface.TAGS[node.tag](self, node)

    def _fill(self, node: _Node) -> Any:
        fill = node.get("fill", "black")
        return None if fill == "none" else self._source(node, fill, node.get("fill-opacity", "1"))

    def _stroke(self, node: _Node) -> Stroke | None:
        stroke = node.get("stroke", "none")
        if stroke == "none":
            return None
        dashes = [size(self, dash) for dash in normalize(node.get("stroke-dasharray", "")).split()]
        return Stroke(
            self._source(node, stroke, node.get("stroke-opacity", "1")),
            size(self, node.get("stroke-width", "1")),
            _CAPS.get(node.get("stroke-linecap", ""), cairocffi.LINE_CAP_BUTT),
            _JOINS.get(node.get("stroke-linejoin", ""), cairocffi.LINE_JOIN_MITER),
            float(node.get("stroke-miterlimit", 4)),
            tuple(dashes) if sum(dashes) else (),
            size(self, node.get("stroke-dashoffset")),
        )

    def _source(self, node: _Node, colour: str, opacity: str) -> Any:
        source, plain = paint(colour)
        if gradient_or_pattern(self, node, source, float(opacity)):
            return self.context.get_source()
        return _solid(plain, float(opacity))


@lru_cache(maxsize=1000)
def _solid(colour: str, opacity: float) -> Any:
    return cairocffi.SolidPattern(*color(colour, opacity))


def _pointer(thing: Any) -> Any:
    return thing._pointer  # noqa: SLF001 - cairocffi documents it for direct calls


def _check_status(context: Any) -> None:
    context._check_status()  # noqa: SLF001 - its own methods do so after each call


def _copied_path(context: Any) -> Any:
    return cairocffi.ffi.gc(cairo.cairo_copy_path(_pointer(context)), cairo.cairo_path_destroy)


def _around(box: tuple[float, float, float, float], reach: float) -> Extents | None:
    x0, y0, x1, y1 = box
    x0, y0, x1, y1 = x0 - reach, y0 - reach, x1 + reach, y1 + reach
    return (x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None


_CAPS = {"round": cairocffi.LINE_CAP_ROUND, "square": cairocffi.LINE_CAP_SQUARE}
_RULES = {"evenodd": cairocffi.FILL_RULE_EVEN_ODD}
_JOINS = {"round": cairocffi.LINE_JOIN_ROUND, "bevel": cairocffi.LINE_JOIN_BEVEL}


class _Node(dict[str, str]):
    """The parts of an element that CairoSVG's drawing functions read."""

    def __init__(self, tag: str, attributes: Iterable[tuple[str, str]], text: str = "") -> None:
        super().__init__(attributes)
        self.tag, self.text = tag, text
        self.children: list[_Node] = []
        self.url_fetcher = None
        self.unsafe = False

    def get_href(self) -> None:
        return None


def _tree(definition: Definition) -> _Node:
    if definition.tag not in GRADIENTS | {"stop"}:
        raise RenderError(f"<{definition.tag}> is not a paint server")
    node = _Node(definition.tag, definition.attributes)
    node.children = [_tree(child) for child in definition.children]
    return node


#: Fields in which CairoSVG looks up references; only `gradients` is ever filled.
_REGISTRIES = (
    *("tree_cache", "markers", "patterns", "masks"),
    *("filters", "images", "paths", "gradients"),
)

_OUTLINE = "vidgen-outline"
_ANCHORS = {"start": 0.0, "middle": -0.5, "end": -1.0}


def _outline(surface: Any, node: _Node) -> None:
    """Trace a line of text as outlines; called like CairoSVG's own tag functions."""
    size = float(node.get("font-size", 28))
    line = text.shape(node.text, int(node.get("font-weight", 600)))
    x = float(node.get("x", 0)) + _ANCHORS[node.get("text-anchor", "start")] * line.width * size
    y = float(node.get("y", 0))
    pen = _pointer(surface.context)
    cairo.cairo_new_path(pen)
    for dx, dy, outline in line.glyphs:
        cairo.cairo_save(pen)
        cairo.cairo_translate(pen, x + dx * size, y + dy * size)
        cairo.cairo_scale(pen, size, size)
        path, _ = _path(outline)
        cairo.cairo_append_path(pen, path)
        cairo.cairo_restore(pen)
    _check_status(surface.context)


_COMMANDS = {
    "M": cairocffi.PATH_MOVE_TO,
    "L": cairocffi.PATH_LINE_TO,
    "C": cairocffi.PATH_CURVE_TO,
    "Z": cairocffi.PATH_CLOSE_PATH,
}


@cache
def _path(outline: text.Outline) -> tuple[Any, Any]:
    """Return a glyph as a cairo_path_t, and the memory that it points into."""
    parts = []
    for command, numbers in outline.steps:
        parts.append(_HEADER.pack(_COMMANDS[command], 1 + len(numbers) // 2))
        parts += [_POINT.pack(*point) for point in zip(numbers[::2], numbers[1::2], strict=True)]
    data = cairocffi.ffi.from_buffer("cairo_path_data_t[]", b"".join(parts))
    path = {"status": cairocffi.STATUS_SUCCESS, "data": data, "num_data": len(parts)}
    return _new("cairo_path_t *", path), data


#: The two layouts of a cairo_path_data_t.
_HEADER, _POINT = Struct("ii8x"), Struct("dd")

cairosvg.surface.TAGS[_OUTLINE] = _outline
