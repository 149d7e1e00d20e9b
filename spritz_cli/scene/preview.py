"""Pictures of a scene without making its film: one frame, a contact sheet, the kit."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image, ImageDraw

from spritz_cli.errors import RenderError
from spritz_cli.media import poster
from spritz_cli.models import Template, TextCard
from spritz_cli.scene import tokens
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import parse
from spritz_cli.scene.drawing import Scene
from spritz_cli.scene.library import SceneLibrary

SHEET_COLUMNS = 4
SHEET_SCALE = 0.5

#: A scene that draws every macro of the kit; it belongs to no film.
KIT_SAMPLES = "kit/samples.svg.j2"


def frame_png(template: Template, library: SceneLibrary, t: float, path: Path) -> None:
    """Write the frame at second `t` as a PNG of full size."""
    poster.save_png(_picture(library.open(template), t), path)


def contact_sheet(
    template: Template, library: SceneLibrary, path: Path, every: float = 1.0
) -> None:
    """Write a PNG with one labelled frame every `every` seconds, and the last one."""
    scene = library.open(template)
    count = int(scene.duration / every)
    seconds = [*(index * every for index in range(count)), scene.duration - 1 / tokens.FPS]
    pictures = [_labelled(_picture(scene, t), t) for t in seconds]
    poster.save_png(poster.sheet(pictures, SHEET_COLUMNS), path)


def kit_sheet(library: SceneLibrary, path: Path) -> None:
    """Write a PNG with every macro of the kit at the start, middle and end of its progress."""
    svg = library.open(_blank_template(KIT_SAMPLES)).svg(0.0)
    size = re.search(r'<svg [^>]*width="(\d+)" height="(\d+)"', svg)
    if not size:
        raise RenderError(f"{KIT_SAMPLES}: its <svg> has no width and height")
    width, height = int(size[1]), int(size[2])
    canvas = Canvas(width, height)
    canvas.show(parse(svg))
    poster.save_png(poster.picture(canvas.pixels, width, height), path)


def _blank_template(scene: str) -> Template:
    """Return a template without texts that shows a scene."""
    return Template(
        persona="kit",
        topic="samples",
        title="",
        prompt_template="",
        visual_metaphor="",
        duration_seconds=5,
        style="",
        fallback_static=scene,
        accent="indigo",
        takeaway="",
        card=TextCard("", "", ""),
        alt="",
        captions=(),
    )


def _picture(scene: Scene, t: float) -> Image.Image:
    canvas = Canvas(tokens.WIDTH, tokens.HEIGHT)
    scene.show(canvas, scene.svg(t), t)
    return poster.picture(canvas.pixels, tokens.WIDTH, tokens.HEIGHT)


def _labelled(image: Image.Image, t: float) -> Image.Image:
    size = (round(image.width * SHEET_SCALE), round(image.height * SHEET_SCALE))
    small = image.resize(size, Image.Resampling.LANCZOS)
    ImageDraw.Draw(small).text((8, size[1] - 22), f"{t:.1f} s", fill=tokens.COLOURS["ink_2"])
    return small
