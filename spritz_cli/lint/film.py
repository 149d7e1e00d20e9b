"""One film, looked at from the first frame to the last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from spritz_cli.errors import RenderError, UsageError
from spritz_cli.lint import captions, claims, layout, reading
from spritz_cli.lint.contrast import Beholder, Verdict
from spritz_cli.lint.finding import Fault, Finding, found
from spritz_cli.lint.layout import Overlaps
from spritz_cli.lint.motion import FinalHold, Flashes
from spritz_cli.lint.pictures import without_text
from spritz_cli.lint.texts import Text, texts
from spritz_cli.lint.tracks import Follower, Sighting
from spritz_cli.models import Template
from spritz_cli.scene.document import Item, parse
from spritz_cli.scene.drawing import Scene, times
from spritz_cli.scene.library import SceneLibrary

#: Every third frame is looked at closely: a tenth of a second.
LOOK_FRAMES = 3

#: The last seconds of a film are one picture.
HOLD_SECONDS = 2.4

#: What a scene can provoke on its way from SVG to pixels.
_DRAWING_ERRORS = (RenderError, ArithmeticError, LookupError, TypeError, ValueError)


def findings(template: Template, library: SceneLibrary, today: date) -> list[Finding]:
    """Return everything that is wrong with one film, words first, then second by second."""
    seen = sorted(screen_faults(template, library), key=lambda fault: fault.second or 0.0)
    return [found(template.name, fault) for fault in [*word_faults(template, today), *seen]]


def word_faults(template: Template, today: date) -> Iterator[Fault]:
    """Yield what is wrong with a template's words, without drawing anything."""
    yield from claims.faults(template, today)
    yield from captions.faults(template)


def screen_faults(template: Template, library: SceneLibrary) -> list[Fault]:
    """Return what is wrong with the frames of a film."""
    try:
        scene = library.open(template)
    except (RenderError, UsageError) as exc:
        return [_undrawable(exc, template, None)]
    watch = _Watch(scene)
    for index, t in enumerate(times(scene.duration)):
        watch.see(index, t)
    return [*watch.faults()]


class _Watch:
    """Everything that is remembered of a film's frames."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._broken: dict[str, Fault] = {}
        self._svg = ""
        self._items: tuple[Item, ...] = ()
        self._bare: tuple[Item, ...] = ()
        self._looked: list[tuple[Text, Verdict | None]] | None = None
        self._flashes, self._beholder = Flashes(), Beholder()
        self._hold = FinalHold(scene.duration - HOLD_SECONDS)
        self._overlaps, self._texts = Overlaps(), Follower()

    def see(self, index: int, t: float) -> None:
        """Draw and judge one frame; what cannot be drawn is a finding of its own."""
        try:
            self._see(index, t)
        except _DRAWING_ERRORS as exc:
            fault = _undrawable(exc, self._scene.template, t)
            self._broken.setdefault(re.sub(r"[-\d.]+", "#", fault.message), fault)
            self._svg = ""

    def faults(self) -> Iterator[Fault]:
        yield from self._broken.values()
        yield from self._flashes.faults()
        yield from self._hold.faults()
        yield from self._overlaps.faults()
        tracks = self._texts.tracks()
        for track in tracks:
            yield from layout.faults(track)
        yield from reading.faults(self._scene.template, tracks)

    def _see(self, index: int, t: float) -> None:
        svg = self._scene.svg(t)
        if svg != self._svg:
            self._items = parse(svg)
            self._bare = without_text(self._items)
            # Without texts: they are too thin to light up a tenth of the frame.
            self._flashes.see(t, self._bare)
            self._looked = None
            self._svg = svg
        self._hold.see(t, self._items)
        if index % LOOK_FRAMES == 0:
            self._look(t)

    def _look(self, t: float) -> None:
        if self._looked is None:
            visible = texts(self._items)
            verdicts = self._beholder.verdicts(self._items, self._bare, visible)
            self._looked = list(zip(visible, verdicts, strict=True))
        sightings = [Sighting(t, *seen) for seen in self._looked]
        self._overlaps.see(sightings)
        self._texts.see(sightings)


#: What an error says -> the rule that was broken.
_RULES = (
    ("has no glyph", "glyph"),
    ("refers to an unknown id", "dangling-id"),
    ("must be a finite number", "not-a-number"),
    ("has a coordinate that is not a number", "not-a-number"),
)


def _undrawable(exc: Exception, template: Template, t: float | None) -> Fault:
    # A scene's own errors say film, file and line before what is wrong.
    place = re.match(rf"{re.escape(template.name)} \(([^)]+)\)", str(exc))
    cause = (exc.__cause__ or exc) if place else exc
    element = place[1] if place else template.fallback_static
    return Fault(
        next((rule for words, rule in _RULES if words in str(cause)), "drawing"),
        str(cause) or repr(cause),
        getattr(cause, "hint", "") or f"Fix svg_templates/{element}.",
        second=t,
        element=element,
    )
