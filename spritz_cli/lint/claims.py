"""Checks words beyond the schema: promises, numbers without a source, outdated facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from spritz_cli.lint.facts import Facts
from spritz_cli.lint.finding import Fault
from spritz_cli.models import Template

TAKEAWAY_WORDS = 9
WARN_AHEAD = timedelta(days=30)

PROMISES = re.compile(
    r"\b(?:should|guarantee[ds]?|risk[- ]free|no risk|can't lose|can’t lose|get rich|always wins?"
    r"|never lose|free money|lazy|careless|irresponsible|reckless|stupid|your fault)\b",
    re.IGNORECASE,
)


def faults(template: Template, today: date) -> Iterator[Fault]:
    """Yield the faults in the words of one template."""
    for check in CHECKS:
        yield from check(template)
    yield from review(template, today)


def texts(template: Template) -> dict[str, str]:
    """Return every text that a viewer reads, by its field in the catalog."""
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


def review(template: Template, today: date) -> Iterator[Fault]:
    """Yield a fault when the facts that a template quotes are due for review."""
    if template.review_by is None:
        return
    due = date.fromisoformat(template.review_by)
    mend = "Check the rates, limits and prices, then set a later review_by."
    if today > due:
        message = f"its facts were due for review by {due}"
        yield Fault("review", message, mend, where="review_by", element=template.review_by)
    elif today > due - WARN_AHEAD:
        message = f"its facts are due for review by {due}"
        yield Fault(
            "review", message, mend, where="review_by", element=template.review_by, level="soon"
        )


def _length(template: Template) -> Iterator[Fault]:
    words = len(template.takeaway.split())
    if words > TAKEAWAY_WORDS:
        message = f"{words} words, at most {TAKEAWAY_WORDS} can be read at a glance"
        yield Fault("length", message, "Shorten it.", "takeaway", element=template.takeaway)


def _promises(template: Template) -> Iterator[Fault]:
    for where, text in texts(template).items():
        yield from promises(text, where)


def promises(text: str, where: str = "") -> Iterator[Fault]:
    """Yield a fault for each phrase that promises a gain or blames the viewer."""
    for match in PROMISES.finditer(text):
        message, mend = f"“{match[0]}” promises or blames", "Write may, can or could."
        yield Fault("promise", message, mend, where, element=text)


def _numbers(template: Template) -> Iterator[Fault]:
    facts = Facts(template)
    for where, text in texts(template).items():
        for number in facts.unexplained(text):
            message = f"{number} is neither a parameter nor a result"
            mend = "Write it as an expression, e.g. {{ payment|usd }}."
            yield Fault("number", message, mend, where, element=text)


def _glyphs(template: Template) -> Iterator[Fault]:
    from spritz_cli.scene.text import missing_glyphs

    for where, text in texts(template).items():
        for character in missing_glyphs(text):
            message, mend = f"the font has no “{character}”", "Use another character, or a word."
            yield Fault("glyph", message, mend, where, element=text)


CHECKS: tuple[Callable[[Template], Iterator[Fault]], ...] = (
    _length,
    _promises,
    _numbers,
    _glyphs,
)
