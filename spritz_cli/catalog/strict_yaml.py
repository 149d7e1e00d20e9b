"""The one reader of YAML: plain values, and the line of each; everything else is refused.

Aliases can multiply a small file into gigabytes, tags can name code, and a repeated key, a
“yes” or a “#” inside a text mean other things to a reader than to the person who wrote them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from spritz_cli.catalog.scalars import (
    CUT,
    CUT_HINT,
    QUOTES,
    begins_with_cut,
    holds_cut,
    plain_value,
)
from spritz_cli.errors import Problem

#: The keys and indexes that lead to a value.
Location = tuple[str | int, ...]

#: Half as much again as 5,000 templates like those that ship with vidgen, of 64 values each.
MAX_VALUES = 500_000
MAX_DEPTH = 20
MAX_ITEMS = 10_000

#: A file of nonsense is not searched to its end.
ENOUGH_PROBLEMS = 300


@dataclass(frozen=True)
class Document:
    """A file as plain values; `lines` knows where each key and value stands.

    What is at or below a location in `spoilt` could not be read; `problems` say why, each
    with its location. If the whole file could not be read, `spoilt` holds `()`.
    """

    file: str
    value: Any
    lines: Mapping[Location, int]
    spoilt: frozenset[Location] = frozenset()
    problems: Sequence[tuple[Location, Problem]] = ()

    def nearest(self, at: Location) -> Location:
        """Return the location itself, or the nearest around it that stands in the file."""
        around = (at[:length] for length in range(len(at), 0, -1))
        return next((place for place in around if place in self.lines), ())

    def line(self, at: Location) -> int:
        """Return the line of a value, or of the nearest value around it."""
        return self.lines.get(self.nearest(at), 1)


def read_yaml(content: bytes, file: str, unquoted: re.Pattern[str] | None = None) -> Document:
    """Read a file whose name in messages is `file`.

    `unquoted` matches what may stand without quotes and is text, although some versions of
    YAML take it for a number or a date.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        hint = "Save the file with the encoding UTF-8."
        return _unreadable(file, [((), Problem(file, line, "the file is not UTF-8 text", hint))])
    lines = text.replace("\r\n", "\n").split("\n")
    if hidden := _invisible_in(lines, file):
        return _unreadable(file, hidden)
    reader = _Reader(file, lines, unquoted)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader.feed(event)
    except yaml.YAMLError as exc:
        return _unreadable(file, [*reader.problems, ((), _syntax(exc, file))])
    except _Stopped:
        return _unreadable(file, reader.problems)
    return Document(file, reader.root, reader.lines, frozenset(reader.spoilt), reader.problems)


def invisible(text: str) -> str | None:
    """Return the code point of the first character that no film can show, if there is one."""
    if text.isprintable():
        return None
    hidden = (
        char
        for char in text
        if not char.isprintable() and char != "\n" and unicodedata.category(char) != "Zs"
    )
    return next((f"U+{ord(char):04X}" for char in hidden), None)


def _unreadable(file: str, problems: Sequence[tuple[Location, Problem]]) -> Document:
    return Document(file, None, {}, frozenset([()]), problems)


def _invisible_in(lines: Sequence[str], file: str) -> list[tuple[Location, Problem]]:
    problems: list[tuple[Location, Problem]] = []
    hint = "Delete the character; it was probably pasted from elsewhere."
    for number, line in enumerate(lines, start=1):
        if not line.isprintable() and (name := invisible(line.replace("\t", " "))):
            message = f"the line contains the invisible character {name}"
            problems.append(((), Problem(file, number, message, hint)))
            if len(problems) == ENOUGH_PROBLEMS:
                break
    return problems


def _syntax(exc: Any, file: str) -> Problem:
    mark = getattr(exc, "problem_mark", None)
    opened = getattr(exc, "context_mark", None)
    what = getattr(exc, "problem", None) or str(exc).split("\n", 1)[0]
    began = ""
    if mark and opened and opened.line != mark.line:
        began = f" ({exc.context}, which began on line {opened.line + 1})"
    line = mark.line + 1 if mark else 1
    return Problem(file, line, f"not valid YAML: {what}{began}", _syntax_hint(what))


def _syntax_hint(what: str) -> str:
    if "tab" in what or "\\t" in what:
        return "Indent with spaces, never with tabs."
    if "mapping values" in what:
        return "Put the text in quotes if it contains “: ”, or check the indentation."
    return "Check indentation, quotes and brackets here and above; one may not be closed."


class _Stopped(Exception):
    """The file is too large, too deep or too wrong to be read on."""


class _Reader:
    """Builds plain values from YAML events, without recursion, and notes the line of each."""

    def __init__(self, file: str, lines: Sequence[str], unquoted: re.Pattern[str] | None) -> None:
        self.root: Any = None
        self.lines: dict[Location, int] = {(): 1}
        self.spoilt: set[Location] = set()
        self.problems: list[tuple[Location, Problem]] = []
        self._file = file
        self._text = lines
        self._unquoted = unquoted
        self._may_cut = any(map(holds_cut, lines))
        self._open: list[_Container] = []
        self._values = 0

    def feed(self, event: Any) -> None:
        """Take the next event of the file; raises _Stopped."""
        match type(event).__name__:
            case "ScalarEvent":
                self._scalar(event)
            case "MappingStartEvent":
                self._start({}, event)
            case "SequenceStartEvent":
                self._start([], event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._open.pop()
            case "AliasEvent":
                self._alias(event)
            case "DocumentStartEvent" if self._values:
                self._stop(event, "a second document begins", "Delete the “---”: one is enough.")

    def _start(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if len(self._open) == MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels", "Flatten the values here.")
        location = self._bad_key(event) if self._at_key() else self._place(value, event)
        self._refuse_decoration(event, location)
        indent = None if event.flow_style else event.start_mark.column
        self._open.append(_Container(value, location, indent))

    def _bad_key(self, event: Any) -> Location:
        parent = self._open[-1]
        hint = "A text that begins with {{ or [ needs quotes around it."
        self._problem(event, parent.at, "a list or mapping stands where a key should be", hint)
        self.spoilt.add(parent.at)
        parent.key = "?"
        return (*parent.at, "?")

    def _alias(self, event: Any) -> None:
        if self._at_key():
            self._open[-1].key = f"*{event.anchor}"
            location = self._open[-1].at
        else:
            location = self._place(None, event)
        self.spoilt.add(location)
        what = f"the alias *{event.anchor} is not allowed"
        self._problem(event, location, what, "Write the value out.")

    def _scalar(self, event: Any) -> None:
        if self._at_key():
            self._key(event)
            return
        is_plain = event.implicit[0]
        value, doubt = plain_value(event.value, self._unquoted) if is_plain else (event.value, "")
        location = self._place(value, event)
        self._refuse_decoration(event, location)
        if is_plain and self._may_cut and self._is_cut(value, event):
            self.spoilt.add(location)
            self._problem(event, location, CUT, CUT_HINT)
        elif doubt:
            self.spoilt.add(location)
            self._problem(event, location, doubt, QUOTES)

    def _key(self, event: Any) -> None:
        parent = self._open[-1]
        key = parent.key = event.value
        location = (*parent.at, key)
        if event.implicit[0] and plain_value(key, self._unquoted) != (key, ""):
            what = f"the key {key or 'is empty: it'} must be text"
            self._problem(event, location, what, QUOTES)
        if key in parent.value:
            what = f"the key “{key}” is already on line {self.lines[location]}"
            hint = "Delete one of the two; YAML would silently use the last."
            self._problem(event, location, what, hint)
        self._refuse_decoration(event, location)
        self.lines.setdefault(location, event.start_mark.line + 1)

    def _is_cut(self, value: Any, event: Any) -> bool:
        """Tell whether a comment follows that was probably meant to be part of the text."""
        if not isinstance(value, str) and event.value:
            return False
        end = event.end_mark
        rest = self._text[end.line][end.column :]
        if rest.strip():
            return begins_with_cut(rest)
        indent = self._open[-1].indent if self._open else None
        if indent is None or not event.value:
            return False
        below = self._next_line(end.line)
        # A text goes on in the lines that are indented deeper than its key.
        return begins_with_cut(below) and len(below) - len(below.lstrip()) > indent

    def _next_line(self, number: int) -> str:
        """Return the next line that is not blank."""
        number += 1
        while number < len(self._text) and not self._text[number].strip():
            number += 1
        return self._text[number] if number < len(self._text) else ""

    def _place(self, value: Any, event: Any) -> Location:
        self._values += 1
        if self._values > MAX_VALUES:
            self._stop(event, f"more than {MAX_VALUES:,} values", "Is this the right file?")
        if not self._open:
            self.root = value
            return ()
        parent = self._open[-1]
        if len(parent.value) == MAX_ITEMS:
            what = f"more than {MAX_ITEMS:,} items in one list or mapping"
            self._stop(event, what, "Is this the right file?")
        location = parent.add(value)
        self.lines.setdefault(location, event.start_mark.line + 1)
        return location

    def _at_key(self) -> bool:
        return bool(self._open) and self._open[-1].awaits_key

    def _refuse_decoration(self, event: Any, location: Location) -> None:
        if event.tag is not None:
            self.spoilt.add(location)
            what = f"the tag {event.tag} is not allowed"
            self._problem(event, location, what, "Write a plain value.")
        if event.anchor is not None:
            what = f"the anchor &{event.anchor} is not allowed"
            self._problem(event, location, what, "Delete it; aliases are not allowed either.")

    def _problem(self, event: Any, at: Location, message: str, hint: str) -> None:
        line = event.start_mark.line + 1
        self.problems.append((at, Problem(self._file, line, message, hint)))
        if len(self.problems) >= ENOUGH_PROBLEMS:
            raise _Stopped

    def _stop(self, event: Any, message: str, hint: str) -> None:
        self._problem(event, (), message, hint)
        raise _Stopped


@dataclass
class _Container:
    """A mapping or list that is still being filled; `indent` is None between brackets."""

    value: Any
    at: Location
    indent: int | None
    key: str | None = None

    @property
    def awaits_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def add(self, value: Any) -> Location:
        if self.key is None:
            self.value.append(value)
            return (*self.at, len(self.value) - 1)
        location = (*self.at, self.key)
        self.value.setdefault(self.key, value)
        self.key = None
        return location
