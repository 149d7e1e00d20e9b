"""Time in a scene: easing curves and the motion verbs of the art direction.

A verb turns the second `t` into attributes or a progress from 0 to 1. All
times are seconds, all distances px of the 1280 × 720 frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

Easing = Callable[[float], float]

RISE_PX = 24
SWAP_PX = 16
EXIT_SECONDS = 0.25
DIMMED = 0.35


def clamp(value: float) -> float:
    return min(1.0, max(0.0, value))


def linear(p: float) -> float:
    return p


def ease_in_quad(p: float) -> float:
    return p * p


def ease_out_cubic(p: float) -> float:
    return 1 - (1 - p) ** 3


def ease_in_out_cubic(p: float) -> float:
    return 4 * p**3 if p < 0.5 else 1 - (2 - 2 * p) ** 3 / 2


def ease_out_back(p: float, overshoot: float = 1.70158) -> float:
    return 1 + (overshoot + 1) * (p - 1) ** 3 + overshoot * (p - 1) ** 2


EASINGS: dict[str, Easing] = {
    "linear": linear,
    "in_quad": ease_in_quad,
    "out_cubic": ease_out_cubic,
    "in_out_cubic": ease_in_out_cubic,
    "out_back": ease_out_back,
    "out_back_soft": lambda p: ease_out_back(p, 0.6),
}


def mix(p: float, start: float, end: float) -> float:
    """Return the value at share `p` of the way from `start` to `end`."""
    return start + (end - start) * p


def blend(p: float, start: str, end: str) -> str:
    """Return the colour at share `p` between two `#rrggbb` colours."""
    channels = (
        round(mix(clamp(p), int(start[i : i + 2], 16), int(end[i : i + 2], 16))) for i in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02X}" for value in channels)


def point(cx: float, cy: float, r: float, degrees: float) -> tuple[float, float]:
    """Return the point at an angle, counter-clockwise from the right."""
    angle = math.radians(degrees)
    return cx + r * math.cos(angle), cy - r * math.sin(angle)


def polar(cx: float, cy: float, r: float, degrees: float) -> Markup:
    """Return `point` as path coordinates."""
    x, y = point(cx, cy, r, degrees)
    return Markup(f"{px(x)} {px(y)}")  # noqa: S704 - digits


def wave_once(p: float) -> float:
    """Return one swing to either side, from 0 to 0."""
    return math.sin(2 * math.pi * clamp(p))


def px(value: float) -> Markup:
    """Format a coordinate with two decimals, so that an element at rest keeps its text."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return Markup("0" if text == "-0" else text)  # noqa: S704 - digits


#: The names of a moment that a scene sees besides `t` and `D`.
VERBS = (
    *("progress", "along", "shown", "presence", "takeaway", "still"),
    *("fade", "rise", "swap", "slide", "drop", "pop", "dim"),
    *("fill", "draw", "morph", "count", "wave", "drift"),
)


@dataclass(frozen=True)
class Moment:
    """One instant of a film, and the verbs evaluated at it.

    `t` and `duration` are seconds. Every verb takes the second at which it starts;
    `out` is the second by which the element has disappeared.
    """

    t: float
    duration: float

    @property
    def takeaway(self) -> float:
        """The second at which the takeaway card rises."""
        return round(self.duration - 3.4, 3)

    @property
    def still(self) -> float:
        """The second from which nothing moves."""
        return round(self.duration - 2.4, 3)

    def progress(self, start: float, seconds: float, easing: str = "in_out_cubic") -> float:
        """Return 0 before `start`, 1 after `seconds` more, eased in between."""
        return EASINGS[easing](clamp((self.t - start) / seconds))

    def along(self, *stops: tuple[float, float], easing: str = "in_out_cubic") -> float:
        """Return a value interpolated through (second, value) stops, each step eased."""
        value = stops[0][1]
        for (start, before), (end, after) in pairwise(stops):
            if self.t >= start:
                value = mix(self.progress(start, end - start, easing), before, after)
        return value

    def shown(self, start: float, out: float | None = None) -> bool:
        """Whether to draw an element that appears at `start` and is gone at `out`."""
        return self.t >= start and (out is None or self.t < out)

    def fade(self, start: float, out: float | None = None, seconds: float = 0.3) -> Markup:
        """Fade in over `seconds`, and out by `out`."""
        return _attributes(opacity=self.presence(start, out, seconds))

    def rise(self, start: float, out: float | None = None, by: float = RISE_PX) -> Markup:
        """Fade in while rising 24 px, 0.5 s; fade out by `out`."""
        p = self.progress(start, 0.5, "out_cubic")
        return _attributes(0, by * (1 - p), opacity=min(p, self._left(out)))

    def swap(self, start: float, out: float | None = None) -> Markup:
        """Fade in while rising 16 px, 0.4 s; at `out`, fade out while rising 16 px more."""
        p = self.progress(start, 0.4, "out_cubic")
        leaving = 0.0 if out is None else self.progress(out - 0.2, 0.4, "in_out_cubic")
        # The old element is gone halfway, so that two numbers never overlap.
        opacity = min(clamp(2 * p - 1) if start > 0 else 1.0, 1 - clamp(2 * leaving))
        return _attributes(0, SWAP_PX * (1 - p) - SWAP_PX * leaving, opacity=opacity)

    def slide(self, start: float, dx: float = 0, dy: float = 0, seconds: float = 0.7) -> Markup:
        """Slide in from `dx`, `dy` px away."""
        p = self.progress(start, seconds)
        return _attributes(dx * (1 - p), dy * (1 - p), opacity=1.0 if self.t >= start else 0.0)

    def drop(self, start: float, height: float, settle: float = 6.0) -> Markup:
        """Fall from `height` px above, then settle by at most 6 px."""
        fall = self.progress(start, 0.6, "in_quad")
        bounce = clamp((self.t - start - 0.6) / 0.25)
        y = -height * (1 - fall) - settle * math.sin(math.pi * bounce)
        return _attributes(0, y, opacity=1.0 if self.t >= start else 0.0)

    def pop(self, start: float, x: float, y: float, out: float | None = None) -> Markup:
        """Scale 0.6 → 1.08 → 1 about the point x, y, 0.4 s."""
        p = self.progress(start, 0.4, "linear")
        scale = 0.6 + 0.4 * ease_out_back(p, 2.6)
        opacity = min(clamp(p * 3), self._left(out))
        return _attributes(x * (1 - scale), y * (1 - scale), opacity=opacity, scale=scale)

    def fill(self, start: float, seconds: float = 1.0) -> float:
        """Progress of a level."""
        return self.progress(start, seconds)

    def draw(self, start: float, seconds: float = 0.9) -> float:
        """Progress of a line that is being drawn."""
        return self.progress(start, seconds)

    def morph(self, start: float, seconds: float = 1.0) -> float:
        """Progress of one outline becoming another."""
        return self.progress(start, seconds)

    def count(self, start: float, before: float, after: float, seconds: float = 1.0) -> float:
        """Return a number that counts from `before` to exactly `after`."""
        return mix(self.progress(start, seconds, "out_cubic"), before, after)

    def dim(self, start: float, out: float | None = None) -> Markup:
        """Dim to 35 %, and back to full opacity by `out`."""
        p = self.progress(start, 0.3)
        back = 0.0 if out is None else self.progress(out - 0.3, 0.3)
        return _attributes(opacity=mix(p * (1 - back), 1.0, DIMMED))

    def presence(self, start: float, out: float | None = None, seconds: float = 0.3) -> float:
        """Return the opacity of an element that fades in at `start` and is gone at `out`."""
        return min(clamp((self.t - start) / seconds), self._left(out))

    def wave(self, period: float, until: float | None = None) -> float:
        """Return an ambient swing, -1 to 1, that comes to rest by `until` (the final hold)."""
        end = self.still if until is None else until
        calm = 1 - ease_in_out_cubic(clamp((self.t - end + 1.2) / 1.2))
        return calm * math.sin(2 * math.pi * self.t / period)

    def drift(self, speed: float, until: float | None = None) -> float:
        """Return the px covered at `speed` px/s, slowing down to rest by `until`."""
        end = self.still if until is None else until
        rest = 1.5
        rolled = clamp((self.t - end + rest) / rest)
        return speed * (min(self.t, end - rest) + rest * (rolled - rolled * rolled / 2))

    def verbs(self) -> dict[str, Any]:
        """Return the names that a scene sees: `t`, `D` and every verb."""
        return {"t": self.t, "D": self.duration} | {name: getattr(self, name) for name in VERBS}

    def _left(self, out: float | None) -> float:
        return 1.0 if out is None else clamp((out - self.t) / EXIT_SECONDS)


VERB_METHODS: tuple[Callable[..., Any], ...] = tuple(
    method for method in (getattr(Moment, name) for name in VERBS) if callable(method)
)


def _attributes(dx: float = 0, dy: float = 0, *, opacity: float = 1, scale: float = 1) -> Markup:
    steps = []
    if px(dx) != "0" or px(dy) != "0":
        steps.append(f"translate({px(dx)} {px(dy)})")
    if abs(scale - 1) > 1e-4:
        steps.append(f"scale({scale:.4f})")
    transform = f' transform="{" ".join(steps)}"' if steps else ""
    shown = f' opacity="{opacity:.3f}"' if opacity < 1 else ""
    return Markup(transform + shown)  # noqa: S704 - only formatted numbers
