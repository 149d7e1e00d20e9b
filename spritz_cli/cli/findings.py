"""What the schema cannot see in a catalog's words: speed, promises, numbers out of nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spritz_cli.models import Template

CHARACTERS_PER_SECOND = 15
SHORTEST_CUE_SECONDS = 1.2
TAKEAWAY_WORDS = 9

PROMISES = re.compile(
    r"\b(?:should|guarantee[ds]?|risk[- ]free|no risk|can't lose|get rich|always wins?)\b", re.I
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

#: A text may show a fact rounded to any of these steps.
ROUNDINGS = tuple(Decimal(step) for step in ("1", "0.1", "0.01"))


@dataclass(frozen=True)
class Finding:
    """Something in a film's words that a viewer would stumble over."""

    name: str
    where: str
    rule: str
    message: str
    hint: str


def findings(template: Template) -> list[Finding]:
    """Return everything that is wrong with the words of one template."""
    return [
        Finding(template.name, where, rule, message, hint)
        for rule, check in RULES.items()
        for where, message, hint in check(template)
    ]


_Found = Iterator[tuple[str, str, str]]


def texts(template: Template) -> dict[str, str]:
    """Return every text that a viewer reads, by its place in the catalog."""
    card = template.card
    return {
        "title": template.title,
        "takeaway": template.takeaway,
        "card.headline": card.headline,
        "card.body": card.body,
        "card.action": card.action,
        "alt": template.alt,
        **{f"captions[{index}]": cue.text for index, cue in enumerate(template.captions)},
        **{f"figures[{index}]": item.label for index, item in enumerate(template.figures)},
    }


def _reading_speed(template: Template) -> _Found:
    for index, cue in enumerate(template.captions):
        seconds = cue.end - cue.start
        speed = len(cue.text.replace("\n", " ")) / seconds
        if speed > CHARACTERS_PER_SECOND + 1e-6:
            message = f"{speed:.1f} characters a second, at most {CHARACTERS_PER_SECOND} are read"
            yield f"captions[{index}]", message, "Show it longer or say it shorter."
        if seconds < SHORTEST_CUE_SECONDS - 1e-6:
            message = f"shown for {seconds:.1f} s, at least {SHORTEST_CUE_SECONDS} s are needed"
            yield f"captions[{index}]", message, "Show it longer."


def _length(template: Template) -> _Found:
    words = len(template.takeaway.split())
    if words > TAKEAWAY_WORDS:
        message = f"{words} words, at most {TAKEAWAY_WORDS} are taken in at a glance"
        yield "takeaway", message, "Say it shorter."


def _promises(template: Template) -> _Found:
    for where, text in texts(template).items():
        for match in PROMISES.finditer(text):
            yield where, f"“{match[0]}” promises or scolds", "Say what may, can or could be."


def _numbers(template: Template) -> _Found:
    known = {shown for fact in _facts(template) for shown in _roundings(fact)}
    for where, text in texts(template).items():
        for digits in NUMBER.findall(text):
            if _decimal(digits) not in known:
                message = f"{digits} is neither a parameter nor a result"
                yield where, message, "Write it as an expression, e.g. {{ payment|usd }}."


def _glyphs(template: Template) -> _Found:
    from spritz_cli.scene.text import missing_glyphs

    for where, text in texts(template).items():
        for sign in missing_glyphs(text):
            yield where, f"the font has no “{sign}”", "Use another sign or a word."


RULES: dict[str, Callable[[Template], _Found]] = {
    "reading-speed": _reading_speed,
    "length": _length,
    "promise": _promises,
    "number": _numbers,
    "glyph": _glyphs,
}


def _facts(template: Template) -> Iterator[Decimal]:
    yield from _flat(dict(template.parameters))
    yield from _flat(dict(template.results))


def _flat(value: Any) -> Iterator[Decimal]:
    if isinstance(value, dict):
        yield from _flat(list(value.values()))
    elif isinstance(value, list | tuple):
        # Texts also say how many there are.
        yield Decimal(len(value))
        for item in value:
            yield from _flat(item)
    elif isinstance(value, str):
        yield from (_decimal(digits) for digits in NUMBER.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Decimal(str(value))


def _roundings(fact: Decimal) -> Iterator[Decimal]:
    yield abs(fact)
    for step in ROUNDINGS:
        yield abs(fact).quantize(step, ROUND_HALF_UP)


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))
