"""From a template to frames: Jinja2 → SVG → marks → raw pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from spritz_cli.errors import RenderError
from spritz_cli.formatting import number, pct, usd
from spritz_cli.models import KeyFigure, Template
from spritz_cli.scene import tokens
from spritz_cli.scene.timeline import (
    VERB_METHODS,
    Moment,
    blend,
    clamp,
    mix,
    point,
    polar,
    px,
    wave_once,
)

if TYPE_CHECKING:
    from spritz_cli.scene.canvas import Canvas

#: Marked as safe, so that autoescaping does not search every mention of a colour.
_SAFE_COLOURS = {name: Markup(value) for name, value in tokens.COLOURS.items()}  # noqa: S704


class SceneLoader:
    """Opens the scenes of one folder; they share one cache of the kit's macros."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, template: Template) -> Scene:
        """Return the scene that draws a template."""
        with _located(template):
            source = self._environment.get_template(template.fallback_static)
            return Scene(template, source, self._environment.globals)

    @cached_property
    def _environment(self) -> Any:
        from spritz_cli.templating import scene_environment

        environment = scene_environment(self._folder, (*_TOOLS.values(), *VERB_METHODS))
        environment.globals |= {
            "colours": _SAFE_COLOURS,
            "type": tokens.TYPE,
            "line_height": tokens.LINE_HEIGHT,
            **_TOOLS,
            **_SAFE_COLOURS,
        }
        environment.filters |= {"px": px}
        return environment


class Scene:
    """One template's drawing as a function of time."""

    def __init__(self, template: Template, source: Any, tools: Mapping[str, Any]) -> None:
        from spritz_cli.templating import render_scene

        self.template = template
        self._render = render_scene
        self._source = source
        self._names = {
            **tools,
            "film": template,
            "p": template.parameters,
            "r": template.results,
            "accent": _SAFE_COLOURS[template.accent],
            "tint": _SAFE_COLOURS[f"{template.accent}_1"],
        }

    @property
    def duration(self) -> float:
        return float(self.template.duration_seconds)

    def svg(self, t: float) -> str:
        """Return the frame at second `t` as an SVG document of 1280 × 720 px."""
        with _located(self.template, t):
            return self._render(self._source, self._names | Moment(t, self.duration).verbs())

    def show(self, canvas: Canvas, svg: str, t: float) -> None:
        """Paint the frame of second `t`, which `svg` describes."""
        from spritz_cli.scene.document import parse

        with _located(self.template, t):
            canvas.show(parse(svg))


def times(duration: float) -> Iterator[float]:
    """Yield the time of every frame of a film, in seconds."""
    for index in range(round(duration * tokens.FPS)):
        yield round(index / tokens.FPS, 6)


def held(scene: Scene) -> int:
    """Return how many frames at a film's end only repeat the frame before them."""
    *earlier, last = times(scene.duration)
    end = scene.svg(last)
    return sum(1 for _ in takewhile(end.__eq__, map(scene.svg, reversed(earlier))))


def frames(scene: Scene, *, held: int = 0, transparent: bool = False) -> Iterator[bytearray]:
    """Yield every frame of a film but the last `held` as raw pixels (see Canvas.pixels).

    It is the same buffer each time, valid until the next frame is requested.
    `transparent`: for a scene without a background; what it does not paint is transparent.
    """
    from spritz_cli.scene.canvas import Canvas

    canvas = Canvas(tokens.WIDTH, tokens.HEIGHT, transparent=transparent)
    shown = None
    for t in list(times(scene.duration))[: -held or None]:
        svg = scene.svg(t)
        if svg != shown:
            scene.show(canvas, svg, t)
            shown = svg
        yield canvas.pixels


@contextmanager
def _located(template: Template, t: float | None = None) -> Iterator[None]:
    """Turn errors into RenderErrors that name the film, the scene file and the second."""
    from spritz_cli.templating import TemplateError

    try:
        yield
    except (RenderError, TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        scene = template.fallback_static + (f":{line}" if line else "")
        when = "" if t is None else f" at {t:.2f} s"
        hint = getattr(exc, "hint", "") or f"Fix svg_templates/{scene}."
        raise RenderError(f"{template.name} ({scene}){when}: {exc}", hint=hint) from exc


def _text_width(words: str, style: str) -> float:
    from spritz_cli.scene.text import width

    size, weight = tokens.TYPE[style]
    # A macro returns Markup, which the shaper does not accept.
    return width(str(words), size, weight)


def _figure(value: float, item: KeyFigure) -> str:
    """Format a number that counts towards a key figure, with the decimals of that figure."""
    if item.format in ("usd", "usd2"):
        return usd(value, 2 if item.format == "usd2" else 0)
    places = 2 if item.format == "pct2" else len(f"{item.value:.2f}".rstrip("0").partition(".")[2])
    return pct(value, places) if item.format.startswith("pct") else number(value, places)


def _wrapped(words: str, style: str, width: float) -> list[str]:
    """Break words into lines of at most `width` px; a longer word has a line of its own."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if _text_width(longer, style) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _zone_blend(percent: float, low: float, mid: float, tone: str, soft: float = 4.0) -> str:
    """Return green, amber or coral (#rrggbb) for a percentage, blended at the zone borders."""
    green, amber, coral = (tokens.COLOURS[name + tone] for name in ("green", "amber", "coral"))
    lower = blend((percent - low) / soft, green, amber)
    return blend((percent - mid) / soft, lower, coral)


_TOOLS: dict[str, Callable[..., Any]] = {
    "mix": mix,
    "blend": blend,
    "clamp": clamp,
    "point": point,
    "polar": polar,
    "wave_once": wave_once,
    "zone_blend": _zone_blend,
    "text_width": _text_width,
    "wrapped": _wrapped,
    "figure": _figure,
}
