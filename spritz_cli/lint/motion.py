"""Checks that nothing flashes, and that nothing moves at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from PIL import Image

from spritz_cli.lint.finding import Fault
from spritz_cli.lint.pictures import placed, view
from spritz_cli.scene import tokens
from spritz_cli.scene.boxes import moved
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import Item, Layer, Matrix

SWING = 0.1
MOST_SWINGS = 3
SHARE = 0.1
WINDOW_SECONDS = 1.0

#: The frame is drawn small and averaged to fields, since only large flashes matter.
SHRINK = 8
COLUMNS, ROWS = 32, 18


class Flashes:
    """Counts how often the fields of the frame get lighter and darker."""

    def __init__(self) -> None:
        self._canvas = Canvas(tokens.WIDTH // SHRINK, tokens.HEIGHT // SHRINK)
        self._bands = b""
        self._fields = [_Field() for _ in range(COLUMNS * ROWS)]
        self._restless: dict[int, _Field] = {}
        self._worst = (0.0, 0.0)

    def see(self, t: float, items: tuple[Item, ...]) -> None:
        """Check the next frame."""
        if not self._canvas.show(placed(items, _SMALL)):
            return
        bands = _bands(self._canvas)
        for index in _differing(self._bands, bands):
            changed = self._fields[index]
            changed.see(t, _luminance(bands[4 * index : 4 * index + 3]))
            if changed.is_restless:
                self._restless[index] = changed
        self._bands = bands
        share = sum(item.flashes(t) for item in self._restless.values()) / len(self._fields)
        self._worst = max(self._worst, (share, t), key=lambda pair: pair[0])

    def faults(self) -> Iterator[Fault]:
        share, t = self._worst
        if share >= SHARE:
            yield Fault(
                "flash",
                f"{share:.0%} of the frame got lighter or darker more than "
                f"{MOST_SWINGS} times within a second",
                "Change large areas once, and slowly.",
                second=t,
                element="the frame",
            )


@dataclass
class _Field:
    """The luminance of one field, and the times of its last visible swings."""

    low: float = 1.0
    high: float = 0.0
    rising: bool | None = None
    swings: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_SWINGS + 1))

    def see(self, t: float, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.rising is not True and value - self.low >= SWING:
            self._swing(t, value, rising=True)
        elif self.rising is not False and self.high - value >= SWING:
            self._swing(t, value, rising=False)

    @property
    def is_restless(self) -> bool:
        return len(self.swings) > MOST_SWINGS

    def flashes(self, t: float) -> bool:
        return self.is_restless and self.swings[0] > t - WINDOW_SECONDS

    def _swing(self, t: float, value: float, *, rising: bool) -> None:
        self.low = self.high = value
        self.rising = rising
        self.swings.append(t)


class FinalHold:
    """Checks that the last seconds of a film are one picture."""

    def __init__(self, still: float) -> None:
        self._still = still
        self._canvas = Canvas(tokens.WIDTH, tokens.HEIGHT)
        self._held: tuple[Item, ...] | None = None
        self._picture = b""
        self._moved: tuple[float, str] | None = None

    def see(self, t: float, items: tuple[Item, ...]) -> None:
        """Check the next frame."""
        if t < self._still - 1e-6 or self._moved or items is self._held:
            return
        self._canvas.show(items)
        # The fourth byte of a pixel is undefined.
        picture = view(self._canvas).convert("RGB").tobytes()
        if self._held is None:
            self._held, self._picture = items, picture
        elif picture != self._picture:
            self._moved = (t, _first_difference(self._held, items))

    def faults(self) -> Iterator[Fault]:
        if self._moved:
            yield Fault(
                "final-hold",
                "moves during the final hold",
                "Let it end by `still`, as waves and drifts do by themselves.",
                second=self._moved[0],
                element=self._moved[1],
            )


_SMALL: Matrix = (1 / SHRINK, 0.0, 0.0, 1 / SHRINK, 0.0, 0.0)


def _bands(canvas: Canvas) -> bytes:
    return view(canvas).resize((COLUMNS, ROWS), Image.Resampling.BOX).tobytes()


def _differing(old: bytes, new: bytes) -> Iterator[int]:
    if not old:
        yield from range(COLUMNS * ROWS)
        return
    before, after = memoryview(old).cast("I"), memoryview(new).cast("I")
    yield from (index for index in range(COLUMNS * ROWS) if before[index] != after[index])


def _luminance(bands: bytes) -> float:
    blue, green, red = (_LINEAR[value] for value in bands)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_LINEAR = [
    value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
    for value in range(256)
]


def _first_difference(old: Iterable[Item], new: Iterable[Item]) -> str:
    for before, after in zip_longest(old, new):
        if before != after:
            if isinstance(before, Layer) and isinstance(after, Layer):
                return (
                    _first_difference(before.items, after.items) or "a group’s opacity or position"
                )
            return _name(after or before)
    return ""


def _name(item: Item | None) -> str:
    """Return the words or tag of an item, and its position."""
    while isinstance(item, Layer):
        item = item.items[0]
    if item is None:
        return ""
    x, y = _position(dict(item.leaf.attributes), item.matrix)
    what = f"“{item.leaf.text}”" if item.leaf.text else f"<{item.leaf.tag}>"
    return f"{what} at {x:.0f}, {y:.0f}"


def _position(style: dict[str, str], matrix: Matrix) -> tuple[float, float]:
    x = float(style.get("x") or style.get("cx") or style.get("x1") or 0)
    y = float(style.get("y") or style.get("cy") or style.get("y1") or 0)
    return moved(x, y, matrix)
