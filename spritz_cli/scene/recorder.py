"""Single elements drawn by CairoSVG into recordings that cairo can replay anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from spritz_cli.errors import MissingLibrary, RenderError
from spritz_cli.scene import text
from spritz_cli.scene.document import GRADIENTS, NUMBERS, Definition, Leaf, check

try:
    import cairocffi
    import cairosvg.surface
    from cairosvg.defs import gradient_or_pattern
    from cairosvg.helpers import PointError, normalize, paint, size
except OSError as exc:
    raise MissingLibrary(
        f"the system library libcairo is missing: {exc}",
        hint="Install it: apt-get install libcairo2 (Debian, Ubuntu), dnf install cairo (Fedora), "
        "apk add cairo (Alpine), brew install cairo (macOS).",
    ) from exc

#: The canvas takes cairo from here, so that its absence is told in one place.
__all__ = ["Recorder", "Recording", "cairocffi"]


class Recording(NamedTuple):
    surface: Any
    extents: tuple[float, float, float, float] | None
    """x, y, width, height of the ink; None when nothing was drawn."""


class Recorder(cairosvg.surface.Surface):  # type: ignore[misc]
    """CairoSVG's drawing of single elements, without its document and text layout."""

    def __init__(self, width: int, height: int) -> None:
        # The base class would parse a document here; its other fields are these.
        self.context_width, self.context_height = width, height
        self.cursor_position, self.cursor_d_position = [0, 0], [0, 0]
        self.text_path_width = 0
        for registry in _REGISTRIES:
            setattr(self, registry, {})
        self.parent_node = self._old_parent_node = None
        self.dpi, self.font_size, self.stroke_and_fill = 96, 16, True
        self.map_rgba = self.map_image = None

    def record(self, leaf: Leaf) -> Recording:
        check(leaf)
        surface = cairocffi.RecordingSurface(cairocffi.CONTENT_COLOR_ALPHA, None)
        self._draw_on(cairocffi.Context(surface), leaf)
        x, y, width, height = surface.ink_extents()
        return Recording(surface, (x, y, width, height) if width > 0 and height > 0 else None)

    def trace(self, context: Any, clip: Definition) -> None:
        """Add the outline of a clip path to the context's path."""
        self.context, self.stroke_and_fill = context, False
        for child in clip.children:
            self.draw(_Node(child.tag, child.attributes))
        self.stroke_and_fill = True

    def extents(self, clip: Definition) -> tuple[float, float, float, float]:
        context = cairocffi.Context(cairocffi.RecordingSurface(cairocffi.CONTENT_ALPHA, None))
        self.trace(context, clip)
        x0, y0, x1, y1 = context.path_extents()
        return x0, y0, x1 - x0, y1 - y0

    def draw(self, node: _Node) -> None:
        """Draw an element as CairoSVG does; what has only usual attributes at half the cost."""
        if not _USUAL.issuperset(node):
            super().draw(node)
        elif size(self, node.get("width", "1")) and size(self, node.get("height", "1")):
            self.font_size = size(self, node.get("font-size", "16"))
            self.context.save()
            self._trace(node)
            if self.stroke_and_fill:
                self._fill(node)
                self._stroke(node)
            self.context.restore()

    def _trace(self, node: _Node) -> None:
        self.context.move_to(size(self, node.get("x"), "x"), size(self, node.get("y"), "y"))
        with suppress(PointError):
            cairosvg.surface.TAGS[node.tag](self, node)

    def _fill(self, node: _Node) -> None:
        fill = node.get("fill", "black")
        if fill == "none":
            return
        if node.get("fill-rule") == "evenodd":
            self.context.set_fill_rule(cairocffi.FILL_RULE_EVEN_ODD)
        self._take(node, fill, float(node.get("fill-opacity", 1)))
        self.context.fill_preserve()

    def _stroke(self, node: _Node) -> None:
        stroke = node.get("stroke", "none")
        if stroke == "none":
            self.context.new_path()
            return
        self._set_line(node)
        self._take(node, stroke, float(node.get("stroke-opacity", 1)))
        self.context.stroke()

    def _set_line(self, node: _Node) -> None:
        context = self.context
        context.set_line_width(size(self, node.get("stroke-width", "1")))
        context.set_line_cap(_CAPS.get(node.get("stroke-linecap", ""), cairocffi.LINE_CAP_BUTT))
        context.set_line_join(
            _JOINS.get(node.get("stroke-linejoin", ""), cairocffi.LINE_JOIN_MITER)
        )
        context.set_miter_limit(float(node.get("stroke-miterlimit", 4)))
        dashes = [size(self, dash) for dash in normalize(node.get("stroke-dasharray", "")).split()]
        if sum(dashes):
            context.set_dash(dashes, size(self, node.get("stroke-dashoffset")))

    def _take(self, node: _Node, colour: str, opacity: float) -> None:
        source, plain = paint(colour)
        if not gradient_or_pattern(self, node, source, opacity):
            self.context.set_source_rgba(*self.map_color(plain, opacity))

    def _draw_on(self, context: Any, leaf: Leaf) -> None:
        self.context = context
        self.gradients = {dict(paint.attributes)["id"]: _tree(paint) for paint in leaf.paints}
        try:
            self.draw(
                _Node(_OUTLINE if leaf.tag == "text" else leaf.tag, leaf.attributes, leaf.text)
            )
        except (ValueError, TypeError, KeyError, IndexError, cairocffi.CairoError) as exc:
            shown = " ".join(f'{name}="{value[:60]}"' for name, value in leaf.attributes)
            raise RenderError(f"<{leaf.tag} {shown}> cannot be drawn: {exc!r}") from exc


#: Whatever else an element may have, such as a transform in a clip path, is left to CairoSVG.
_USUAL = NUMBERS | {"d", "points", "fill", "fill-rule", "stroke", "stroke-dasharray"}
_USUAL |= {"stroke-linecap", "stroke-linejoin", "stroke-miterlimit"}
_USUAL |= {"font-family", "font-weight", "text-anchor"}

_CAPS = {"round": cairocffi.LINE_CAP_ROUND, "square": cairocffi.LINE_CAP_SQUARE}
_JOINS = {"round": cairocffi.LINE_JOIN_ROUND, "bevel": cairocffi.LINE_JOIN_BEVEL}


class _Node(dict[str, str]):
    """What CairoSVG's drawing functions need of an element."""

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
        raise RenderError(f"<{definition.tag}> is no paint server")
    node = _Node(definition.tag, definition.attributes)
    node.children = [_tree(child) for child in definition.children]
    return node


#: What CairoSVG looks references up in; only gradients are ever filled.
_REGISTRIES = (
    *("tree_cache", "markers", "patterns", "masks"),
    *("filters", "images", "paths", "gradients"),
)

_OUTLINE = "vidgen-outline"
_ANCHORS = {"start": 0.0, "middle": -0.5, "end": -1.0}


def _outline(surface: Any, node: _Node) -> None:
    """Trace a line of text as outlines; CairoSVG then fills and strokes it like any path."""
    size = float(node.get("font-size", 28))
    line = text.shape(node.text, int(node.get("font-weight", 600)))
    x = float(node.get("x", 0)) + _ANCHORS[node.get("text-anchor", "start")] * line.width * size
    y = float(node.get("y", 0))
    context = surface.context
    context.new_path()
    for dx, dy, outline in line.glyphs:
        context.save()
        context.translate(x + dx * size, y + dy * size)
        context.scale(size)
        path, _ = _path(outline)
        cairocffi.cairo.cairo_append_path(context._pointer, path)  # noqa: SLF001 - as cairocffi documents
        context.restore()


_COMMANDS = {
    "M": cairocffi.PATH_MOVE_TO,
    "L": cairocffi.PATH_LINE_TO,
    "C": cairocffi.PATH_CURVE_TO,
    "Z": cairocffi.PATH_CLOSE_PATH,
}


@cache
def _path(outline: text.Outline) -> tuple[Any, Any]:
    """Return a glyph as cairo reads it in one call, and the memory that this points into."""
    parts: list[dict[str, Any]] = []
    for command, numbers in outline.steps:
        parts.append({"header": {"type": _COMMANDS[command], "length": 1 + len(numbers) // 2}})
        points = zip(numbers[::2], numbers[1::2], strict=True)
        parts += [{"point": {"x": x, "y": y}} for x, y in points]
    data = cairocffi.ffi.new("cairo_path_data_t[]", parts)
    path = {"status": cairocffi.STATUS_SUCCESS, "data": data, "num_data": len(parts)}
    return cairocffi.ffi.new("cairo_path_t *", path), data


cairosvg.surface.TAGS[_OUTLINE] = _outline
