"""Measures the contrast of each text against its real background, and what covers it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from PIL import Image, ImageColor

from spritz_cli.lint.pictures import ink, pixels_of, view
from spritz_cli.lint.texts import Text
from spritz_cli.scene import tokens
from spritz_cli.scene.boxes import PixelBox, is_empty
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import Item

#: The share of the ink that may have less contrast, because of antialiasing or hairlines.
WORST_SHARE = 0.1

#: Below this opacity a text fades in or out, or is dimmed on purpose.
OPAQUE = 0.99

#: A pixel that is at least half covered counts as ink.
_IS_INK = [255 if value >= 128 else 0 for value in range(256)]

#: Below this ratio, visible ink cannot be told from covered ink.
_VISIBLE = 1.3


class Verdict(NamedTuple):
    """The contrast ratio that 90 % of a text reaches, and the share of its ink that is covered."""

    ratio: float
    covered: float


class ContrastMeter:
    """Compares each frame with the same frame without texts."""

    def __init__(self) -> None:
        self._full = Canvas(tokens.WIDTH, tokens.HEIGHT)
        self._bare = Canvas(tokens.WIDTH, tokens.HEIGHT)
        self._known: dict[Item, tuple[bytes, bytes, Verdict]] = {}

    def verdicts(
        self, items: tuple[Item, ...], bare_items: tuple[Item, ...], texts: Iterable[Text]
    ) -> list[Verdict | None]:
        """Return a verdict on each text of a frame, None for texts that are not opaque.

        `bare_items` is the same frame without its texts.
        """
        self._full.show(items)
        self._bare.show(bare_items)
        known, self._known = self._known, {}
        full, bare = view(self._full), view(self._bare)
        return [self._verdict(text, full, bare, known) for text in texts]

    def _verdict(
        self,
        text: Text,
        full: Image.Image,
        bare: Image.Image,
        known: dict[Item, tuple[bytes, bytes, Verdict]],
    ) -> Verdict | None:
        area = pixels_of(text.box, tokens.WIDTH, tokens.HEIGHT)
        if text.opacity < OPAQUE or is_empty(area):
            return None
        before = known.get(text.alone)
        front, back = full.crop(area).tobytes(), bare.crop(area).tobytes()
        if before is not None and before[:2] == (front, back):
            verdict = before[2]
        else:
            verdict = _judged(text, area, front, back)
        self._known[text.alone] = (front, back, verdict)
        return verdict


def _judged(text: Text, area: PixelBox, front: bytes, back: bytes) -> Verdict:
    mask = _mask(text.alone, area)
    seen = compress(memoryview(front).cast("I"), mask)
    behind = list(compress(memoryview(back).cast("I"), mask))
    fill = _rgb(text.fill)
    if not behind or fill is None:
        return Verdict(21.0, 0.0)
    backs = Counter(behind)
    ratios = {pixel: _ratio(fill, pixel, text.fill_opacity) for pixel in backs}
    hidden = sum(
        pixel == shown and ratios[pixel] > _VISIBLE
        for pixel, shown in zip(behind, seen, strict=True)
    )
    return Verdict(_ratio_of_most(backs, ratios), hidden / len(behind))


@lru_cache(maxsize=512)
def _mask(item: Item, area: PixelBox) -> bytes:
    return ink(item, area).point(_IS_INK).tobytes()


def _ratio_of_most(counts: Counter[int], ratios: dict[int, float]) -> float:
    """Return the ratio that 90 % of the pixels reach."""
    left = WORST_SHARE * counts.total()
    ordered = sorted(counts, key=ratios.__getitem__)
    for pixel in ordered:
        left -= counts[pixel]
        if left < 0:
            return ratios[pixel]
    return ratios[ordered[-1]]


@lru_cache(maxsize=20_000)
def _ratio(fill: tuple[int, int, int], pixel: int, opacity: float) -> float:
    blue, green, red, _ = pixel.to_bytes(4, sys.byteorder)
    behind = (red, green, blue)
    shown = tuple(opacity * a + (1 - opacity) * b for a, b in zip(fill, behind, strict=True))
    lighter, darker = sorted((_luminance(shown), _luminance(behind)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Iterable[float]) -> float:
    """Return the relative luminance as defined by WCAG."""
    red, green, blue = (_linear(value / 255) for value in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1_000)
def _rgb(colour: str) -> tuple[int, int, int] | None:
    """Return the bands of a colour; None for a gradient, which has no single contrast."""
    try:
        return ImageColor.getrgb(colour)[:3]
    except ValueError:
        return None
