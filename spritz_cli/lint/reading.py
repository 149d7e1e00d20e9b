"""Checks that texts stay long enough to be read, and show only numbers of the film."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from spritz_cli.lint import claims
from spritz_cli.lint.facts import Facts
from spritz_cli.lint.finding import Fault
from spritz_cli.lint.texts import label
from spritz_cli.lint.tracks import STEP, Phrase, Sighting, Track, phrases
from spritz_cli.models import Template

SHORTEST_SECONDS = 1.2
SECONDS_A_WORD, SECONDS_TO_FIND = 0.3, 0.5
FEWEST_WORDS = 3

#: A number that stays this long is a fact, not a moment of a count.
HELD_SECONDS = 0.8

#: The number of texts that a scene may compute itself, such as the labels of an axis.
MOST_DERIVED = 12

#: Tolerance: entrance and exit happen between two checked frames.
_TOLERANCE = 1.5 * STEP

#: Words that disappear and reappear elsewhere within this time are read as one text.
_HANDOVER = 3 * STEP


def faults(template: Template, tracks: Sequence[Track]) -> Iterator[Fault]:
    """Yield the faults in the words and durations of the texts of a film."""
    yield from _brief(list(phrases(tracks)))
    yield from _promises(template, tracks)
    yield from _numbers(template, tracks)
    yield from _derived(tracks)


def _brief(shown: Sequence[Phrase]) -> Iterator[Fault]:
    for phrase in shown:
        line, count = phrase.lines[0], len(phrase.words.split())
        if count < FEWEST_WORDS or line.counts or not line.settled():
            continue
        needed = max(SHORTEST_SECONDS, SECONDS_A_WORD * count + SECONDS_TO_FIND)
        seconds = _readable(phrase, shown)
        if seconds < needed - _TOLERANCE:
            yield Fault(
                "brief",
                f"shown for {seconds:.1f} s, {count} words need {needed:.1f} s",
                "Show it longer, or shorten it.",
                second=line.first.t,
                element=label(phrase.words, line.last.text.box),
            )


def _readable(phrase: Phrase, shown: Iterable[Phrase]) -> float:
    """Return for how many seconds the words are visible, even if they move elsewhere."""
    start, end = phrase.lines[0].first.t, phrase.lines[0].last.t
    for other in shown:
        line = other.lines[0]
        if other.words == phrase.words and line.first.t <= end + _HANDOVER and line.last.t >= start:
            end = max(end, line.last.t)
    return end - start + STEP


def _promises(template: Template, tracks: Iterable[Track]) -> Iterator[Fault]:
    for track in tracks:
        if not _is_of_catalog(track.words, template):
            for fault in claims.promises(track.words):
                yield fault._replace(second=track.first.t, element=track.last.text.label)


def _numbers(template: Template, tracks: Iterable[Track]) -> Iterator[Fault]:
    facts = Facts(template)
    for track in tracks:
        for sighting, seconds in track.holds():
            if seconds > HELD_SECONDS - STEP / 2:
                yield from _unexplained(sighting, template, facts)


def _unexplained(sighting: Sighting, template: Template, facts: Facts) -> Iterator[Fault]:
    text = sighting.text
    if text.derived or _is_of_catalog(text.words, template):
        return
    for number in facts.unexplained(text.words):
        yield sighting.fault(
            "number",
            f"{number} is neither a parameter nor a result",
            "Take it from p or r; put a computed label of an axis into "
            '<g data-derived="its meaning">.',
        )


def _derived(tracks: Iterable[Track]) -> Iterator[Fault]:
    marked = [track for track in tracks if track.last.text.derived]
    shown = {sighting.text.words for track in marked for sighting, _ in track.holds()}
    if len(shown) > MOST_DERIVED:
        yield Fault(
            "number",
            f"{len(shown)} texts are marked data-derived, at most {MOST_DERIVED} may be",
            "Compute them in topics, so that they are results.",
            second=marked[0].first.t,
            element=marked[0].last.text.label,
        )


def _is_of_catalog(text: str, template: Template) -> bool:
    """Whether a text is in the catalog, where it is checked already."""
    whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    return any(whole.search(source) for source in claims.texts(template).values())
