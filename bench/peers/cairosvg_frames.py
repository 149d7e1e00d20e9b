"""The peer scene in the usual way: Jinja2 to SVG, stock CairoSVG to pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import motion
from cairocffi import FORMAT_ARGB32, ImageSurface
from cairosvg.parser import Tree
from cairosvg.surface import PNGSurface
from jinja2 import Environment, FileSystemLoader

WRAPPED = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720" viewBox="0 0 1280 720">'
    '{{% include "{}" %}}</svg>'
)


class Drawing:
    """The scene, or one part of it, as SVG at any second."""

    def __init__(self, part: str | None = None) -> None:
        environment = Environment(
            loader=FileSystemLoader(motion.FOLDER / "scene"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"px": motion.px, "usd": motion.usd, "pct": motion.pct}
        environment.globals |= {"mix": motion.mix, "point": motion.point, "p": motion.SCENE}
        self._template = (
            environment.from_string(WRAPPED.format(part))
            if part
            else environment.get_template("peer.svg.j2")
        )

    def svg(self, t: float) -> bytes:
        return self._template.render(t=t, progress=motion.at(t)).encode()


def surface(svg: bytes) -> Any:
    """Return the picture; keep a reference while its pixels are read."""
    return PNGSurface(Tree(bytestring=svg), None, 96).cairo


def whole_frames() -> Iterator[memoryview]:
    """Yield raw B, G, R, A frames."""
    drawing = Drawing()
    for t in motion.times():
        picture = surface(drawing.svg(t))
        yield picture.get_data()


def split_frames() -> Iterator[bytes | bytearray]:
    """Yield the same frames; the still part is drawn once and copied."""
    still = surface(Drawing("paper.svg.j2").svg(0))
    paper = bytes(still.get_data())
    moving = Drawing("moving.svg.j2")
    for t in motion.times():
        _OnPaper.pixels[:] = paper
        _OnPaper(Tree(bytestring=moving.svg(t)), None, 96).cairo.flush()
        yield _OnPaper.pixels


class _OnPaper(PNGSurface):  # type: ignore[misc]
    """A CairoSVG surface that starts with a picture instead of an empty one."""

    pixels = bytearray(4 * motion.WIDTH * motion.HEIGHT)

    def _create_surface(self, width: float, height: float) -> tuple[Any, float, float]:
        size = (int(width), int(height))
        return ImageSurface(FORMAT_ARGB32, *size, data=self.pixels), width, height
