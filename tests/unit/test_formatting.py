from __future__ import annotations

from decimal import Decimal

import pytest

from spritz_cli.formatting import listing, number, ordinal, pct, plural, rounded, usd, words


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1234, 0, "$1,234"),
        (1234.5, 2, "$1,234.50"),
        (0, 0, "$0"),
        (-2400, 0, "−$2,400"),
        (999_999.995, 2, "$1,000,000.00"),
        (Decimal("15.485"), 2, "$15.49"),
    ],
)
def test_dollars_have_thousands_separators_and_fixed_cents(
    value: float, places: int, text: str
) -> None:
    assert usd(value, places) == text


def test_signed_dollars_show_which_way_the_money_went() -> None:
    assert [usd(amount, signed=True) for amount in (2800, -2400, 0)] == ["+$2,800", "−$2,400", "$0"]


def test_nothing_is_shown_as_minus_zero() -> None:
    assert usd(-0.4) == "$0"
    assert pct(-0.001) == "0%"
    assert number(-0.0) == "0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(45, "45%"), (21.9, "21.9%"), (4.0, "4%"), (100, "100%"), (0.06, "0.06%"), (1 / 3, "0.33%")],
)
def test_a_percentage_keeps_only_the_decimals_it_needs(value: float, text: str) -> None:
    assert pct(value) == text


def test_a_percentage_can_have_fixed_decimals() -> None:
    assert pct(4, 2) == "4.00%"
    assert pct(0.06027, 2) == "0.06%"


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(0.5, 0, "1"), (1.5, 0, "2"), (2.5, 0, "3"), (-2.5, 0, "−3"), (2.675, 2, "2.68")],
)
def test_halves_round_away_from_zero(value: float, places: int, text: str) -> None:
    assert number(value, places) == text


def test_a_number_keeps_its_own_decimals_when_asked() -> None:
    assert number(1234.5, None) == "1,234.5"
    assert number(1234.5) == "1,235"


def test_a_noun_follows_its_number() -> None:
    assert plural(1, "month") == "1 month"
    assert plural(15, "month") == "15 months"
    assert plural(0, "penny", "pennies") == "0 pennies"


def test_days_of_a_month_read_as_ordinals() -> None:
    days = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 22: "22nd"}
    assert {day: ordinal(day) for day in days} == days


def test_words_are_joined_as_english_does() -> None:
    assert listing(["5", "10", "15"]) == "5, 10 and 15"
    assert listing(["Jan", "Feb"]) == "Jan and Feb"
    assert listing(["Jan"]) == "Jan"
    assert listing([]) == ""


@pytest.mark.parametrize("value", ["12", None, True, [1]])
def test_only_numbers_are_written_as_numbers(value: object) -> None:
    with pytest.raises(TypeError, match="a number is needed"):
        rounded(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e15, -1e300])
def test_numbers_nobody_can_read_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a number between"):
        rounded(value)


def test_small_whole_numbers_can_be_spelled_out() -> None:
    assert [words(count) for count in (0, 3, 12, 20, 21, 1234)] == [
        "zero",
        "three",
        "twelve",
        "twenty",
        "21",
        "1,234",
    ]
    assert words(2.5) == "2.5"
