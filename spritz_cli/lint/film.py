"""Checks one film from the first frame to the last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from spritz_cli.errors import RenderError, UsageError
from spritz_cli.lint import captions, claims, layout, reading
from spritz_cli.lint.contrast import ContrastMeter, Verdict
from spritz_cli.lint.finding import Fault, Finding, finding_of
from spritz_cli.lint.layout import Overlaps
from spritz_cli.lint.motion import FinalHold, Flashes
from spritz_cli.lint.pictures import without_text
from spritz_cli.lint.texts import Text, texts
from spritz_cli.lint.tracks import Follower, Sighting
from spritz_cli.models import Template
from spritz_cli.scene.document import Item, parse
from spritz_cli.scene.drawing import Scene, times
from spritz_cli.scene.library import SceneLibrary

#: Texts are checked on every third frame: every tenth of a second.
LOOK_FRAMES = 3

#: Seconds at the end of a film in which nothing moves.
HOLD_SECONDS = 2.4

#: Errors that a scene can cause on the way from SVG to pixels.
_DRAWING_ERRORS = (RenderError, ArithmeticError, LookupError, TypeError, ValueError)


def findings(template: Template, library: SceneLibrary, today: date) -> list[Finding]:
    """Return the findings of one film: words first, then frames by time."""
    on_screen = sorted(screen_faults(template, library), key=lambda fault: fault.second or 0.0)
    faults = [*word_faults(template, today), *on_screen]
    return [finding_of(template.name, fault) for fault in faults]


def word_faults(template: Template, today: date) -> Iterator[Fault]:
    """Yield the faults in the words of a template. Draws nothing."""
    yield from claims.faults(template, today)
    yield from captions.faults(template)


def screen_faults(template: Template, library: SceneLibrary) -> list[Fault]:
    """Return the faults in the frames of a film."""
    try:
        scene = library.open(template)
    except (RenderError, UsageError) as exc:
        return [_undrawable(exc, template, None)]
    checks = _FrameChecks(scene)
    for index, t in enumerate(times(scene.duration)):
        checks.see(index, t)
    return [*checks.faults()]


class _FrameChecks:
    """All checks of the frames of a film, with their state."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._broken: dict[str, Fault] = {}
        self._svg = ""
        self._items: tuple[Item, ...] = ()
        self._bare: tuple[Item, ...] = ()
        self._looked: list[tuple[Text, Verdict | None]] | None = None
        self._flashes, self._contrast = Flashes(), ContrastMeter()
        self._hold = FinalHold(scene.duration - HOLD_SECONDS)
        self._overlaps, self._texts = Overlaps(), Follower()

    def see(self, index: int, t: float) -> None:
        """Draw and check one frame. A frame that cannot be drawn is a fault, too."""
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
            verdicts = self._contrast.verdicts(self._items, self._bare, visible)
            self._looked = list(zip(visible, verdicts, strict=True))
        sightings = [Sighting(t, *seen) for seen in self._looked]
        self._overlaps.see(sightings)
        self._texts.see(sightings)


#: A part of an error message -> the broken rule.
_RULES = (
    ("has no glyph", "glyph"),
    ("refers to an unknown id", "dangling-id"),
    ("must be a finite number", "not-a-number"),
    ("has a coordinate that is not a number", "not-a-number"),
)


def _undrawable(exc: Exception, template: Template, t: float | None) -> Fault:
    # Errors of scenes start with film, file and line.
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
