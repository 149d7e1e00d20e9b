"""Shared by the Python peers: the scene's data, its motion, and vidgen's encoder settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCENE: dict[str, Any] = json.loads((FOLDER / "scene/scene.json").read_text("utf-8"))
COLOURS: dict[str, str] = SCENE["colours"]
WIDTH, HEIGHT, FPS, SECONDS = (SCENE[name] for name in ("width", "height", "fps", "seconds"))
FONTS = FOLDER / ".env/fonts"


def encoder() -> tuple[str, list[str]]:
    """Return vidgen's ffmpeg and its output arguments, as written by run.py."""
    document = json.loads((FOLDER / ".out/encoder.json").read_text("utf-8"))
    return document["ffmpeg"], document["settings"]


def times() -> list[float]:
    return [index / FPS for index in range(FPS * SECONDS)]


def progress(t: float, start: float, seconds: float) -> float:
    p = min(1.0, max(0.0, (t - start) / seconds))
    return float(4 * p**3 if p < 0.5 else 1 - (2 - 2 * p) ** 3 / 2)


def at(t: float) -> Callable[[float, float], float]:
    """Return the scene's `progress` as seen from second `t`."""
    return lambda start, seconds: progress(t, start, seconds)


def mix(p: float, start: float, end: float) -> float:
    return start + (end - start) * p


def point(cx: float, cy: float, r: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return cx + r * math.cos(angle), cy - r * math.sin(angle)


def lift(t: float) -> float:
    """Return how far the stage is below its final place, in px."""
    return 36 - 7.2 * t


def bar(index: int, t: float) -> float:
    """Return the dollars that a bar shows."""
    return float(SCENE["income"][index] * progress(t, 0.15 * index, 4.2))


def balance_line(t: float) -> list[tuple[float, float]]:
    """Return the points of the balance that are drawn so far; the last is its tip."""
    drawn = 24 * progress(t, 0.2, 4.6)
    n = int(drawn)
    values = SCENE["balance"]
    known = [(152 + 26.5 * index, 584 - 0.096 * value) for index, value in enumerate(values)]
    tip = mix(drawn - n, values[n], values[min(n + 1, 24)])
    return [*known[: n + 1], (152 + 26.5 * drawn, 584 - 0.096 * tip)]


def goal(t: float) -> float:
    """Return the percentage of the goal."""
    return float(SCENE["goal_percent"] * progress(t, 0.1, 4.8))


def saved(t: float) -> float:
    return float(SCENE["saved"] * progress(t, 0.2, 4.6))


def come(t: float) -> float:
    """Return the progress of the card, 0–1: of its position, opacity and amount."""
    return progress(t, 0.3, 4.5)


def px(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def usd(value: float) -> str:
    return f"${value:,.0f}"


def pct(value: float, places: int = 0) -> str:
    return f"{value:.{places}f}%"
