"""What the texts on screen say: long enough to be read, and only what the film knows."""

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

#: A number that stays as long is read as a fact, not as a moment of a count.
HELD_SECONDS = 0.8

#: So many numbers of its own a scene may show: the labels of its axes.
MOST_DERIVED = 12

#: Entrance and exit fall between two looks.
_GRACE = 1.5 * STEP

#: Words that go here and come there are read as one.
_HANDOVER = 3 * STEP


def faults(template: Template, tracks: Sequence[Track]) -> Iterator[Fault]:
    """Yield what is wrong with what the texts of a film say."""
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
        if seconds < needed - _GRACE:
            yield Fault(
                "brief",
                f"shown for {seconds:.1f} s, {count} words need {needed:.1f} s",
                "Show it longer or say it shorter.",
                second=line.first.t,
                element=label(phrase.words, line.last.text.box),
            )


def _readable(phrase: Phrase, shown: Iterable[Phrase]) -> float:
    """Return for how long the words are there, also where they move on to another place."""
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
        yield Fault(
            "number",
            f"{number} is neither a parameter nor a result",
            "Take it from p or r; a label computed for an axis goes into "
            '<g data-derived="what it is">.',
            second=sighting.t,
            element=text.label,
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
    """Tell whether a text stands in the catalog, where it is judged already."""
    whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    return any(whole.search(source) for source in claims.texts(template).values())
