"""The problems found in one file so far, and the words for values and places in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Set as AbstractSet
from difflib import get_close_matches
from typing import Any

from spritz_cli.catalog.strict_yaml import ENOUGH_PROBLEMS, Document, Location, invisible
from spritz_cli.errors import Problem

MAX_PROBLEMS = 100

#: Comparing two names takes up to a millisecond: how often in one file.
MAX_COMPARED = 5_000
LONGEST_NAME = 100


class EnoughFound(Exception):
    """Nobody reads so many problems, and looking for near names costs more with each."""


class Findings:
    """The problems so far, each with its location, and which values they spoil for later checks.

    `name` puts a location into words. `add` raises EnoughFound when there are `enough`.
    """

    def __init__(
        self,
        document: Document,
        name: Callable[[Location], str] | None = None,
        enough: float = ENOUGH_PROBLEMS,
    ) -> None:
        self.document = document
        self.label = name or dotted
        self.problems = list(document.problems)
        self._enough = enough
        self._compared = 0
        self._places = set(document.spoilt)
        self._around = {place[:end] for place in self._places for end in range(len(place) + 1)}

    def add(self, at: Location, message: str, hint: str) -> None:
        """Note a problem, unless the value could not even be read."""
        if _below(at, self.document.spoilt):
            return
        problem = Problem(self.document.file, self.document.line(at), message, hint)
        self.problems.append((at, problem))
        if len(self.problems) >= self._enough:
            raise EnoughFound
        self._places.add(at)
        self._around.update(at[:end] for end in range(len(at) + 1))

    def spoilt(self, at: Location) -> bool:
        """Tell whether the value, a part of it or what it is part of has a problem."""
        return at in self._around or _below(at, self._places)

    def suggest(self, word: str, known: Iterable[str], noun: str) -> str:
        """Return the hint for a name that is not among the known ones."""
        known = sorted(known)
        if close := self.near(word, known):
            return f"Did you mean “{close}”?"
        return f"{noun}: {', '.join(known)}." if known else "Delete the line."

    def near(self, word: str, known: Collection[str]) -> str:
        """Return the known name that a word was probably meant to be, if there is one."""
        self._compared += len(known)
        if self._compared > MAX_COMPARED:
            return ""
        return next(iter(get_close_matches(word[:LONGEST_NAME], known, n=1)), "")

    def check_visible(self, value: Any, at: Location) -> None:
        """Refuse characters that a text hides, and that only an escape can have put there."""
        if isinstance(value, str) and (name := invisible(value)):
            message = f"{self.label(at)} contains the invisible character {name}"
            self.add(at, message, "Delete the character or its escape.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.check_visible(item, (*at, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                self.check_visible(key, (*at, key))
                self.check_visible(item, (*at, key))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the first problems in the order of the lines, none twice, safe for a terminal."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))
    shown = [_printable(item) for item in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        count = len(ordered) - MAX_PROBLEMS
        more = f"… and {count}{' or' if len(ordered) >= ENOUGH_PROBLEMS else ''} more problems"
        shown.append(shown[-1]._replace(message=more, hint="Correct those above first."))
    return shown


def show(value: Any) -> str:
    """Return a value as it would stand in the file, in brief."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def cut(text: str) -> str:
    """Return at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:39]}…"


def dotted(at: Location) -> str:
    """Return a location such as `card.headline` or `captions[1]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{cut(part)}" for part in at)
    return "".join(parts).removeprefix(".")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return the value, or nothing if it is something else than a mapping."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value, or nothing if it is something else than a list."""
    return value if isinstance(value, list) else []


def _below(at: Location, places: AbstractSet[Location]) -> bool:
    return any(at[:end] in places for end in range(len(at) + 1))


def _printable(problem: Problem) -> Problem:
    """A problem may quote the file, but neither steer nor flood the terminal."""
    return problem._replace(message=_plain(problem.message), hint=_plain(problem.hint))


def _plain(text: str) -> str:
    line = " ".join(text.split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return shown if len(shown) <= 500 else f"{shown[:499]}…"
