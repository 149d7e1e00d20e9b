from __future__ import annotations

import pytest

from spritz_cli.errors import RenderError
from spritz_cli.scene.font import font_digest
from spritz_cli.scene.text import missing_glyphs, shape, width


def test_digits_are_of_one_width() -> None:
    assert len({width(digit, 100, 700) for digit in "0123456789"}) == 1


def test_letters_are_kerned() -> None:
    assert width("AVAV", 100, 700) < 2 * width("A", 100, 700) + 2 * width("V", 100, 700)


def test_heavier_weights_are_real() -> None:
    assert shape("n", 800).glyphs != shape("n", 700).glyphs


def test_a_missing_glyph_is_an_error_not_a_box() -> None:
    with pytest.raises(RenderError, match="no glyph for '≈'"):
        shape("≈ 5", 700)
    assert missing_glyphs("a ≈ b ÷ −5 “ok” 漢") == ("≈", "漢")


def test_the_outline_is_the_same_every_time() -> None:
    shape.cache_clear()
    first = shape("$1,234", 800)
    shape.cache_clear()
    assert shape("$1,234", 800) == first


def test_the_bundled_font_is_the_pinned_one() -> None:
    assert font_digest().startswith("26ad3db9b31ff7dd")


def test_an_impossible_weight_is_refused() -> None:
    with pytest.raises(RenderError, match="font-weight"):
        shape("a", 50)
