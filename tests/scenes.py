"""Helpers for tests that draw."""

from __future__ import annotations

import hashlib
from pathlib import Path

from spritz_cli.catalog.loader import Catalog, load_catalog
from spritz_cli.models import Template
from spritz_cli.scene import tokens
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import parse
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.settings import shipped

#: A copy of the catalog that stays as it is when somebody edits a number of the real one.
FROZEN = Path(__file__).parent / "golden" / "templates.yaml"

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720">'


def drawn(svg: str) -> Canvas:
    """Return a new canvas that shows one SVG document."""
    canvas = Canvas(tokens.WIDTH, tokens.HEIGHT)
    canvas.show(parse(svg))
    return canvas


def document(body: str) -> str:
    return f'{HEAD}<rect width="1280" height="720" fill="#FFFFFF"/>{body}</svg>'


def pixel(canvas: Canvas, x: int, y: int) -> tuple[int, int, int]:
    """Return red, green, blue at a point."""
    at = 4 * (y * canvas.width + x)
    blue, green, red = canvas.pixels[at : at + 3]
    return red, green, blue


def shipped_scenes() -> SceneLibrary:
    return SceneLibrary(shipped("svg_templates"))


def frozen_catalog() -> Catalog:
    return load_catalog(FROZEN, shipped("svg_templates"))


def frame_digest(template: Template, t: float) -> str:
    """Return the SHA-256 of the raw frame at second `t`, without the unused fourth bytes."""
    pixels = drawn(shipped_scenes().open(template).svg(t)).pixels
    del pixels[3::4]
    return hashlib.sha256(pixels).hexdigest()
