"""The numbers that a film may show: its parameters, its results, and the lengths of lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

from spritz_cli.formatting import WORDS
from spritz_cli.models import Template

DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")

#: The steps that a text may round to, like the filters `usd`, `pct` and `number`.
ROUNDINGS = tuple(Decimal(step) for step in ("1", "0.1", "0.01"))

#: Without "one" and "two": mostly they are not numbers ("two ways", "this one").
_SPELLED = re.compile(rf"\b(?:{'|'.join(WORDS[3:])})\b", re.IGNORECASE)


class Facts:
    """The numbers of one template."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def unexplained(self, text: str) -> Iterator[str]:
        """Yield each number in a text, in digits or words, that is not a fact."""
        for digits in DIGITS.findall(text):
            if _decimal(digits) not in self._known:
                yield digits
        for word in _SPELLED.findall(text):
            if Decimal(WORDS.index(word.lower())) not in self._known:
                yield word

    @cached_property
    def _known(self) -> frozenset[Decimal]:
        values = (dict(self._template.parameters), dict(self._template.results))
        return frozenset(shown for fact in _flat(values) for shown in _roundings(fact))


def _flat(value: Any) -> Iterator[Decimal]:
    if isinstance(value, dict):
        yield from _flat(list(value.values()))
    elif isinstance(value, list | tuple):
        # Texts may also name the number of items.
        yield Decimal(len(value))
        for item in value:
            yield from _flat(item)
    elif isinstance(value, str):
        yield from (_decimal(digits) for digits in DIGITS.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Decimal(str(value))


def _roundings(fact: Decimal) -> Iterator[Decimal]:
    yield abs(fact)
    for step in ROUNDINGS:
        yield abs(fact).quantize(step, ROUND_HALF_UP)


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))
