"""Follows texts through a film, from entrance to exit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from spritz_cli.lint.contrast import Verdict
from spritz_cli.lint.facts import DIGITS
from spritz_cli.lint.finding import Fault
from spritz_cli.lint.texts import Text

#: Seconds between two checked frames.
STEP = 0.1

#: Below this opacity a text is entering or leaving.
SEEN = 0.2

#: A text that moves less per step can be read. This allows for ambient motion.
SETTLED_PX = 2.0
SETTLED_LOOKS = 3

#: A text that appears farther away in one step is another one.
FARTHEST_PX = 240.0


class Sighting(NamedTuple):
    """A text on one frame, at second `t`, and its contrast."""

    t: float
    text: Text
    verdict: Verdict | None

    def fault(self, rule: str, message: str, mend: str) -> Fault:
        """Return a fault of this text at this second."""
        return Fault(rule, message, mend, second=self.t, element=self.text.label)


@dataclass
class Track:
    """One text from entrance to exit, checked every tenth of a second."""

    sightings: list[Sighting] = field(default_factory=list)

    @property
    def first(self) -> Sighting:
        return self.sightings[0]

    @property
    def last(self) -> Sighting:
        return self.sightings[-1]

    @property
    def words(self) -> str:
        return self.last.text.words

    @property
    def seconds(self) -> float:
        return self.last.t - self.first.t + STEP

    @property
    def counts(self) -> bool:
        """Whether its words change while it is visible."""
        return any(item.text.words != self.words for item in self.sightings)

    def settled(self) -> list[Sighting]:
        """Return the sightings at which the text was at rest."""
        runs: list[list[Sighting]] = []
        for before, item in zip([None, *self.sightings], self.sightings, strict=False):
            if before is not None and _distance(before.text, item.text) <= SETTLED_PX:
                runs[-1].append(item)
            else:
                runs.append([item])
        return [item for run in runs if len(run) >= SETTLED_LOOKS for item in run]

    def holds(self) -> Iterator[tuple[Sighting, float]]:
        """Yield the first sighting of each wording, and its duration in seconds."""
        for _, group in groupby(self.sightings, key=lambda item: item.text.words):
            held = list(group)
            yield held[0], held[-1].t - held[0].t + STEP


class Follower:
    """Matches the texts of a frame with those of the previous frame."""

    def __init__(self) -> None:
        self._open: list[Track] = []
        self._closed: list[Track] = []

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Take the texts of the next frame. Tracks without one of them end."""
        waiting = [item for item in sightings if item.text.opacity > SEEN]
        still_there: list[Track] = []
        for track in self._open:
            following = _nearest(track.last.text, waiting)
            if following is None:
                self._closed.append(track)
            else:
                waiting.remove(following)
                track.sightings.append(following)
                still_there.append(track)
        self._open = [*still_there, *(Track([item]) for item in waiting)]

    def tracks(self) -> list[Track]:
        """Return all texts by their time of entrance."""
        return sorted([*self._closed, *self._open], key=lambda track: track.first.t)


class Phrase(NamedTuple):
    """Lines that enter and leave together, one below the other."""

    lines: tuple[Track, ...]

    @property
    def words(self) -> str:
        return " ".join(line.words for line in self.lines)


def phrases(tracks: Sequence[Track]) -> Iterator[Phrase]:
    """Join lines that form one text."""
    lines: list[Track] = []
    for track in sorted(tracks, key=_reading_order):
        if lines and not _continues(lines[-1], track):
            yield Phrase(tuple(lines))
            lines = []
        lines.append(track)
    if lines:
        yield Phrase(tuple(lines))


def _reading_order(track: Track) -> tuple[float, ...]:
    text = track.last.text
    return (track.first.t, track.last.t, text.size, text.weight, round(text.at[0]), text.at[1])


def _continues(line: Track, track: Track) -> bool:
    same_time = (line.first.t, line.last.t) == (track.first.t, track.last.t)
    above, below = line.last.text, track.last.text
    same_style = (above.size, above.weight, above.fill) == (below.size, below.weight, below.fill)
    step = below.at[1] - above.at[1]
    in_line = abs(below.at[0] - above.at[0]) < 1 and 0 < step < 1.4 * above.size
    return same_time and same_style and in_line


def _nearest(text: Text, candidates: Iterable[Sighting]) -> Sighting | None:
    pattern = _pattern(text.words)
    alike = [item for item in candidates if _pattern(item.text.words) == pattern]
    nearest = min(alike, key=lambda item: _distance(text, item.text), default=None)
    if nearest is None or _distance(text, nearest.text) > FARTHEST_PX:
        return None
    return nearest


def _distance(a: Text, b: Text) -> float:
    return max(abs(a.at[0] - b.at[0]), abs(a.at[1] - b.at[1]))


_PLURAL = re.compile(r"s\b")


def _pattern(words: str) -> str:
    """Return the part of a text that stays the same while its numbers count."""
    return _PLURAL.sub("", DIGITS.sub("#", words))
