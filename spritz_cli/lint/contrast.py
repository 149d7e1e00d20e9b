"""How well each text stands out from what is really drawn behind it, and in front of it."""

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

#: The share of the ink that may stand out less: antialiasing, a hairline behind a word.
WORST_SHARE = 0.1

#: Less opaque, a text is on its way in or out, or dimmed on purpose.
FULLY_THERE = 0.99

#: From half a pixel of ink on, the pixel counts as ink.
_IS_INK = [255 if value >= 128 else 0 for value in range(256)]

#: Below this ratio a text that is there cannot be told from one that is covered.
_TELLABLE = 1.3


class Verdict(NamedTuple):
    """The contrast ratio of a text's worst tenth, and the share of its ink that is covered."""

    ratio: float
    covered: float


class Beholder:
    """Looks at each text in front of the frame that is drawn without texts."""

    def __init__(self) -> None:
        self._full = Canvas(tokens.WIDTH, tokens.HEIGHT)
        self._bare = Canvas(tokens.WIDTH, tokens.HEIGHT)
        self._known: dict[Item, tuple[bytes, bytes, Verdict]] = {}

    def verdicts(
        self, items: tuple[Item, ...], bare_items: tuple[Item, ...], texts: Iterable[Text]
    ) -> list[Verdict | None]:
        """Return a verdict on each text of a frame; None on those that are not fully there.

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
        if text.opacity < FULLY_THERE or is_empty(area):
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
        pixel == shown and ratios[pixel] > _TELLABLE
        for pixel, shown in zip(behind, seen, strict=True)
    )
    return Verdict(_worst(backs, ratios), hidden / len(behind))


@lru_cache(maxsize=512)
def _mask(item: Item, area: PixelBox) -> bytes:
    return ink(item, area).point(_IS_INK).tobytes()


def _worst(counts: Counter[int], ratios: dict[int, float]) -> float:
    """Return the ratio that nine tenths of the pixels reach."""
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
    """Return the relative luminance of WCAG."""
    red, green, blue = (_linear(value / 255) for value in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1_000)
def _rgb(colour: str) -> tuple[int, int, int] | None:
    """Return a colour's bands; None for a gradient, whose contrast differs along the text."""
    try:
        return ImageColor.getrgb(colour)[:3]
    except ValueError:
        return None
