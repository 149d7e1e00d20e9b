"""Checks whether captions can be read: lines, speed, duration, gaps, end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from spritz_cli.lint.finding import Fault
from spritz_cli.models import Cue, Template

LINES, WIDTH = 2, 42
CHARACTERS_PER_SECOND = 15
SHORTEST_SECONDS = 1.2
GAP_SECONDS = 0.08

#: Tolerance for the rounding of decimal times to floats.
_TOLERANCE = 1e-6


def faults(template: Template) -> Iterator[Fault]:
    """Yield the faults in the captions of one template."""
    for index, cue in enumerate(template.captions):
        for rule, message, mend in _of_one(cue, template.duration_seconds):
            yield _fault(rule, message, mend, index, cue)
    for index, (before, after) in enumerate(pairwise(template.captions), start=1):
        gap = after.start - before.end
        if gap < GAP_SECONDS - _TOLERANCE:
            message = f"{gap:.2f} s after the previous caption, at least {GAP_SECONDS} s are needed"
            yield _fault("caption-gap", message, "Let it start later.", index, after)


def _of_one(cue: Cue, duration: float) -> Iterator[tuple[str, str, str]]:
    lines = cue.text.split("\n")
    widest, seconds = max(map(len, lines)), cue.end - cue.start
    if len(lines) > LINES or widest > WIDTH:
        message = f"{len(lines)} lines of up to {widest} characters, at most {LINES} × {WIDTH} fit"
        yield "caption-lines", message, "Split it into two captions, or shorten it."
    speed = len(" ".join(lines)) / max(seconds, _TOLERANCE)
    if speed > CHARACTERS_PER_SECOND + _TOLERANCE:
        message = f"{speed:.1f} characters per second, at most {CHARACTERS_PER_SECOND} can be read"
        yield "reading-speed", message, "Show it longer, or shorten it."
    if seconds < SHORTEST_SECONDS - _TOLERANCE:
        message = f"shown for {seconds:.1f} s, at least {SHORTEST_SECONDS} s are needed"
        yield "reading-speed", message, "Show it longer."
    if cue.end > duration + _TOLERANCE:
        message = f"ends at {cue.end:.1f} s, after the film ({duration:.1f} s)"
        yield "caption-end", message, "Let it end with the film."


def _fault(rule: str, message: str, mend: str, index: int, cue: Cue) -> Fault:
    words = " ".join(cue.text.split("\n"))
    return Fault(rule, message, mend, f"captions[{index}]", cue.start, words)
