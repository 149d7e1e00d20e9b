"""Formats numbers for people: the filters that texts and scenes share.

Everything rounds half up on the decimal digits that a number is written with: 2.675 to two
places is 2.68, and 0.5 to none is 1, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

#: Numbers from here on are refused: a float of this size no longer holds exact cents.
LARGEST = Decimal(10) ** 15

MINUS = "\N{MINUS SIGN}"

# fmt: off
WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)
# fmt: on


def rounded(value: float | Decimal, places: int = 0) -> Decimal:
    """Round half up (away from zero) on the digits that the number is written with.

    Raises TypeError for anything but a number, ValueError for one that is too large or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"a number is needed here, got “{value}”")
    exact = Decimal(str(value))
    if exact.is_nan() or abs(exact) >= LARGEST:
        raise ValueError(f"a number between ±{LARGEST:,f} is needed here, got {value}")
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def usd(value: float | Decimal, places: int = 0, signed: bool = False) -> str:
    """Format dollars: 1234 as "$1,234", with `signed` 2800 as "+$2,800"."""
    amount = rounded(value, places)
    return f"{_sign(amount, signed)}${abs(amount):,f}"


def pct(value: float | Decimal, places: int | None = None) -> str:
    """Format a percentage: 21.9 as "21.9%"; `places` fixes the decimals, else at most two."""
    return f"{number(value, places)}%" if places is not None else f"{_shortest(value)}%"


def number(value: float | Decimal, places: int | None = 0) -> str:
    """Format a number: 1234 as "1,234"; `places=None` keeps at most two decimals."""
    if places is None:
        return _shortest(value)
    amount = rounded(value, places)
    return f"{_sign(amount)}{abs(amount):,f}"


def plural(value: float | Decimal, noun: str, nouns: str | None = None) -> str:
    """Format a number with its noun: "1 month", "1,234 months"; `nouns` is an irregular plural."""
    return f"{_shortest(value)} {noun if value == 1 else nouns or noun + 's'}"


def ordinal(value: int) -> str:
    """Format a rank or a day of a month: "1st", "12th", "23rd"."""
    day = int(rounded(value))
    teens = day % 100 in (11, 12, 13)
    return f"{day}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def words(value: float) -> str:
    """Spell out whole numbers up to twenty: 12 as "twelve"; others as "1,234"."""
    whole = rounded(value)
    return WORDS[int(whole)] if value == whole and 0 <= whole < len(WORDS) else number(value, None)


def listing(values: Iterable[object]) -> str:
    """Join values into an English list: "5, 10 and 15"."""
    *items, last = [str(value) for value in values] or [""]
    return f"{', '.join(items)} and {last}" if items else last


FILTERS: Mapping[str, Callable[..., Any]] = {
    "usd": usd,
    "pct": pct,
    "number": number,
    "plural": plural,
    "ordinal": ordinal,
    "words": words,
    "listing": listing,
}


def _shortest(value: float | Decimal) -> str:
    return number(value, 2).rstrip("0").rstrip(".")


def _sign(amount: Decimal, signed: bool = False) -> str:
    if amount == 0:
        return ""
    return MINUS if amount < 0 else "+" if signed else ""
