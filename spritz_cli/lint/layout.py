"""Checks position, size, contrast and overlap of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from spritz_cli.lint.finding import Fault
from spritz_cli.lint.tracks import SEEN, SETTLED_LOOKS, Sighting, Track
from spritz_cli.scene.boxes import Box, common

#: Five percent from each edge of the frame.
SAFE: Box = (64, 36, 1216, 684)

SMALLEST_PX = 24
LARGE_PX, BOLD = 24, 700
RATIO, RATIO_LARGE = 4.5, 3.0

#: The width that antialiasing adds to an edge.
EDGE_PX = 1.0

#: The share of a text that may be covered.
COVERED_SHARE = 0.15

Wrong = Callable[[Sighting], bool]


def faults(track: Track) -> Iterator[Fault]:
    """Yield the faults in position, size and contrast of one text."""
    settled = track.settled()
    yield from _outside(settled)
    yield from _small(settled)
    yield from _faint(track.sightings)
    yield from _covered(track.sightings)


class Overlaps:
    """Finds texts that overlap."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Fault] = {}

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Check the texts of the next frame."""
        visible = [item for item in sightings if item.text.opacity > SEEN and not _hidden(item)]
        for one, other in combinations(visible, 2):
            left, top, right, bottom = common(one.text.box, other.text.box)
            width, height = right - left, bottom - top
            if min(width, height) > EDGE_PX:
                key = (one.text.words, other.text.words)
                self._found.setdefault(key, _overlap(one, other, width, height))

    def faults(self) -> Iterable[Fault]:
        return self._found.values()


def _overlap(one: Sighting, other: Sighting, width: float, height: float) -> Fault:
    return one.fault(
        "overlap",
        f"overlaps {other.text.label} by {width:.0f} × {height:.0f} px",
        "Move one of the two, or let one leave before the other enters.",
    )


def _hidden(sighting: Sighting) -> bool:
    return sighting.verdict is not None and sighting.verdict.covered > 1 - COVERED_SHARE


def _outside(settled: Iterable[Sighting]) -> Iterator[Fault]:
    worst = max(settled, key=lambda item: _beyond(item.text.box), default=None)
    if worst is None or _beyond(worst.text.box) <= EDGE_PX:
        return
    left, top, right, bottom = (round(edge) for edge in worst.text.box)
    yield worst.fault(
        "safe-area",
        f"reaches {_beyond(worst.text.box):.0f} px out of the safe area: "
        f"x {left} to {right}, y {top} to {bottom}",
        f"Keep it within x {SAFE[0]:.0f} to {SAFE[2]:.0f}, y {SAFE[1]:.0f} to {SAFE[3]:.0f}.",
    )


def _beyond(box: Box) -> float:
    return max(SAFE[0] - box[0], SAFE[1] - box[1], box[2] - SAFE[2], box[3] - SAFE[3])


def _small(settled: Iterable[Sighting]) -> Iterator[Fault]:
    smallest = min(settled, key=lambda item: item.text.size, default=None)
    if smallest is not None and smallest.text.size < SMALLEST_PX - 0.05:
        yield smallest.fault(
            "text-size",
            f"{smallest.text.size:.1f} px high, a phone needs at least {SMALLEST_PX}",
            "Use a larger style, or scale it less.",
        )


def _faint(sightings: Iterable[Sighting]) -> Iterator[Fault]:
    lasting = _lasting(sightings, lambda item: _contrast(item) < _needed(item) - 0.005)
    worst = min(lasting, key=_contrast, default=None)
    if worst is not None:
        yield worst.fault(
            "contrast",
            f"{_contrast(worst):.2f}:1 against its background, {_needed(worst)}:1 are needed",
            "Use a -7 tone or ink on light, white on dark, or move it off the drawing.",
        )


def _covered(sightings: Iterable[Sighting]) -> Iterator[Fault]:
    lasting = _lasting(sightings, lambda item: _share_covered(item) > COVERED_SHARE)
    worst = max(lasting, key=_share_covered, default=None)
    if worst is not None:
        yield worst.fault(
            "covered",
            f"{_share_covered(worst):.0%} of it is covered by something else",
            "Draw it later, or move it.",
        )


def _lasting(sightings: Iterable[Sighting], is_wrong: Wrong) -> list[Sighting]:
    """Return the wrong sightings that last for several frames, not those in passing."""
    wrong: list[Sighting] = []
    run: list[Sighting] = []
    for item in sightings:
        run = [*run, item] if item.verdict is not None and is_wrong(item) else []
        if len(run) == SETTLED_LOOKS:
            wrong += run
        elif len(run) > SETTLED_LOOKS:
            wrong.append(item)
    return wrong


def _contrast(sighting: Sighting) -> float:
    return 21.0 if sighting.verdict is None else sighting.verdict.ratio


def _needed(sighting: Sighting) -> float:
    text = sighting.text
    is_large = text.size >= LARGE_PX - 0.05 and text.weight >= BOLD
    return RATIO_LARGE if is_large else RATIO


def _share_covered(sighting: Sighting) -> float:
    return 0.0 if sighting.verdict is None else sighting.verdict.covered
