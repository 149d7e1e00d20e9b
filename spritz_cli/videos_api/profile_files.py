"""`providers.yaml` → `Profile`: read strictly, laid over one another, checked key by key."""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from spritz_cli.errors import UsageError
from spritz_cli.videos_api.profile import ANY, PROFILE_KEYS, Profile, is_base_url

MAX_BYTES = 200_000
MAX_DEPTH = 10
MAX_SECONDS = 600
MAX_USD_PER_SECOND = 1_000

KEYS = ("extends", *PROFILE_KEYS)
NEEDED = ("base_url", "model", "allowed_seconds", "sizes")

#: Values that are laid over one another key by key; all others are replaced.
MERGED = ("extra_fields", "extra_headers", "prices", "retired")

#: Headers that are ours to set; the key of a provider comes from the environment alone.
_OUR_HEADERS = r"authorization|(x-)?api-key|cookie|host|content-.*|transfer-.*|idempotency-key"


@dataclass(frozen=True)
class Entry:
    """What the files say about one profile, checked, and the last of them that does."""

    file: Path
    values: Mapping[str, Any]


def read_entries(files: Iterable[Path]) -> dict[str, Entry]:
    """Read every file that exists; a later one is laid over an earlier one."""
    entries: dict[str, Entry] = {}
    for file in dict.fromkeys(path.absolute() for path in files):
        for name, values in _read(file).items():
            earlier = entries[name].values if name in entries else {}
            entries[name] = Entry(file, _laid_over(earlier, values))
    return entries


def build(name: str, entries: Mapping[str, Entry]) -> Profile:
    """Return the profile that the entries describe, with all that it extends."""
    values = _resolved(name, entries, ())
    missing = [key for key in NEEDED if key not in values]
    if missing:
        raise UsageError(
            f"{entries[name].file}: profiles.{name}.{missing[0]} is missing",
            hint=f"Add a line “{missing[0]}: …”, or extend a profile that has it.",
        )
    return Profile(name=name, **{key: values[key] for key in PROFILE_KEYS if key in values})


def _resolved(name: str, entries: Mapping[str, Entry], heirs: tuple[str, ...]) -> dict[str, Any]:
    entry = entries[name]
    parent = entry.values.get("extends")
    if parent is None:
        return dict(entry.values)
    where = f"{entry.file}: profiles.{name}.extends"
    if parent in (*heirs, name):
        raise UsageError(f"{where} leads back to {parent}", hint="Delete one of these lines.")
    if parent not in entries:
        hint = _suggest(parent, entries)
        raise UsageError(f"{where}: there is no profile “{_brief(parent)}”", hint=hint)
    return _laid_over(_resolved(parent, entries, (*heirs, name)), entry.values)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    # An empty mapping is not laid over: it says that nothing of the other one holds.
    both = [key for key in MERGED if key in below and above.get(key)]
    merged = {key: {**below[key], **above[key]} for key in both}
    return {**below, **above, **merged}


def _read(file: Path) -> dict[str, dict[str, Any]]:
    if not file.exists():
        return {}
    try:
        if not file.is_file():
            # A pipe without a writer would keep us waiting for ever.
            raise OSError(errno.EINVAL, "it is not a file")
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        hint = "Check what lies there, and its permissions."
        raise UsageError(f"{file}: cannot be read: {exc.strerror}", hint=hint) from exc
    if len(content) > MAX_BYTES:
        hint = "A profile takes about 500 bytes: is this the right file?"
        raise UsageError(f"{file}: larger than {MAX_BYTES // 1_000} kB", hint=hint)
    return _profiles(file, _parse(file, content))


def _parse(file: Path, content: bytes) -> Any:
    try:
        return yaml.load(content.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.MarkedYAMLError as exc:
        line = f", line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        message = f"{file}{line}: not valid YAML: {_plain(exc.problem or str(exc))}"
    except (yaml.YAMLError, ValueError) as exc:
        message = f"{file}: not valid YAML: {_plain(str(exc))}"
    hint = "Write plain keys and values, without tags, anchors and repeated keys."
    raise UsageError(message, hint=hint)


def _profiles(file: Path, document: Any) -> dict[str, dict[str, Any]]:
    top = _Place(file, "")
    values = top.mapping({} if document is None else document)
    top.known(values, ("version", "profiles"))
    if values.get("version", 1) != 1:
        raise _Place(file, "version").wrong("1", values["version"], "Write “version: 1”.")
    place = _Place(file, "profiles")
    return {
        place.name(name): _entry(place.below(name), entry)
        for name, entry in place.mapping(values.get("profiles") or {}).items()
    }


def _entry(place: _Place, entry: Any) -> dict[str, Any]:
    values = place.mapping(entry)
    place.known(values, KEYS)
    return {key: _CHECKS[key](place.below(key), value) for key, value in values.items()}


class _Loader(yaml.SafeLoader):
    """The safe loader, without what makes a small file large or two keys one."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.refuse("aliases are not allowed", self.peek_event())  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels", parent)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                self.refuse("a key must be text (put it in quotes)", key_node)
            if key in seen:
                self.refuse(f"the key “{_brief(key)}” is repeated", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def number(self, node: Any) -> Any:
        # YAML reads 16:9 as a number of base 60.
        return node.value if ":" in node.value else self.construct_yaml_int(node)

    def text(self, node: Any) -> Any:
        return node.value

    def refuse(self, problem: str, at: Any) -> None:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)
# Dates stay text: a bad one is then an error at its key.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.text)


@dataclass(frozen=True)
class _Place:
    """A value's file and key path, and the errors that can be made of it."""

    file: Path
    path: str

    def below(self, key: str) -> _Place:
        return _Place(self.file, f"{self.path}.{_brief(key)}" if self.path else key)

    def wrong(self, wanted: str, got: Any, hint: str = "") -> UsageError:
        shown = _brief(json.dumps(got, ensure_ascii=False, default=str))
        return UsageError(
            f"{self.file}: {self.path or 'the file'} must be {wanted}, got {shown}",
            hint=hint or f"Make it {wanted}.",
        )

    def mapping(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong("a mapping", value, "Write lines “key: value”, indented.")
        return value

    def known(self, values: Mapping[str, Any], keys: Sequence[str]) -> None:
        for key in values:
            if key not in keys:
                owner = f"{self.path}: " if self.path else ""
                message = f"{self.file}: {owner}unknown key “{_brief(key)}”"
                raise UsageError(message, hint=_suggest(key, keys))

    def name(self, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", value):
            wanted = "named in small letters, digits, “-”, “_” and “.”, 64 at most"
            raise self.below(value).wrong(wanted, value, "Such as “my-server”.")
        return value


def _text(place: _Place, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise place.wrong("one line of text", value, "Write it in quotes.")
    return value.strip()


def _optional_text(place: _Place, value: Any) -> str | None:
    return None if value is None else _text(place, value)


def _one_of(*words: str) -> Callable[[_Place, Any], str]:
    def check(place: _Place, value: Any) -> str:
        if value not in words:
            raise place.wrong(" or ".join(words), value)
        return str(value)

    return check


def _switch(place: _Place, value: Any) -> bool:
    if not isinstance(value, bool):
        raise place.wrong("true or false", value)
    return value


def _count(place: _Place, value: Any) -> int:
    if not _is_number(value) or value != int(value) or not 1 <= value <= 1_000:
        raise place.wrong("a whole number from 1 to 1,000", value)
    return int(value)


def _delay(place: _Place, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 86_400:
        raise place.wrong("a number of seconds from 0 to 86,400", value)
    return float(value)


def _url(place: _Place, value: Any) -> str:
    text = _text(place, value).rstrip("/")
    if not is_base_url(text):
        wanted = "an address such as https://host/v1, without user, “?” and “#”"
        raise place.wrong(wanted, _without_user(text))
    return text


def _without_user(url: str) -> str:
    return re.sub(r"//[^/]*@", "//…@", url)


def _auth(place: _Place, value: Any) -> str:
    if value not in ("bearer", "none") and not re.fullmatch(r"header:[A-Za-z0-9-]+", str(value)):
        raise place.wrong("bearer, none or header:<Name>", value, "Such as “header:api-key”.")
    return str(value)


def _variables(place: _Place, value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)) for name in names):
        hint = "The key itself never stands in this file; name the variable that holds it."
        raise place.wrong("names of environment variables", "…", hint)
    return tuple(str(name) for name in names)


def _lengths(place: _Place, value: Any) -> tuple[int, ...]:
    hint = "Write a list such as [4, 8, 12], or a range such as 4-15."
    wanted = f"whole seconds from 1 to {MAX_SECONDS}"
    span = re.fullmatch(r"(\d{1,4})\s*[-–]\s*(\d{1,4})", value) if isinstance(value, str) else None
    found = list(range(int(span[1]), int(span[2]) + 1)) if span else value
    items = [found] if _is_number(found) else found
    if not isinstance(items, list) or not items:
        raise place.wrong(wanted, value, hint)
    if not all(type(item) is int and 1 <= item <= MAX_SECONDS for item in items):
        raise place.wrong(wanted, value, hint)
    return tuple(sorted(set(items)))


def _sizes(place: _Place, value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(_is_size(item) for item in items):
        raise place.wrong("sizes in pixels", value, "Write a list such as [1280x720].")
    return tuple(dict.fromkeys(items))


def _is_size(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", value))


def _fields(place: _Place, value: Any) -> dict[str, Any]:
    for key, item in place.mapping(value).items():
        finite = not isinstance(item, float) or math.isfinite(item)
        if not isinstance(item, str | int | float) or not finite:
            raise place.below(key).wrong("text, a number, true or false", item)
    return dict(value)


def _headers(place: _Place, value: Any) -> dict[str, str]:
    for name, text in place.mapping(value).items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
            raise place.below(name).wrong("named in letters, digits and “-”", name)
        if re.fullmatch(_OUR_HEADERS, name, re.IGNORECASE):
            hint = "Delete this line; auth and api_key_env say how the key travels."
            where = f"{place.file}: {place.below(name).path}"
            raise UsageError(f"{where}: vidgen sets this header itself", hint=hint)
        if not _text(place.below(name), text).isascii():
            raise place.below(name).wrong("plain ASCII", text)
    return dict(value)


def _prices(place: _Place, value: Any) -> dict[str, dict[str, Decimal]]:
    return {
        model: _per_size(place.below(model), price) for model, price in place.mapping(value).items()
    }


def _per_size(place: _Place, value: Any) -> dict[str, Decimal]:
    per_size = value if isinstance(value, dict) else {ANY: value}
    for size in per_size:
        if size != ANY and not _is_size(size):
            raise place.below(size).wrong('a size such as 1280x720, or "*"', size)
    return {
        size: _price(place.below(size) if isinstance(value, dict) else place, price)
        for size, price in per_size.items()
    }


def _price(place: _Place, value: Any) -> Decimal:
    if not _is_number(value) or not 0 <= value <= MAX_USD_PER_SECOND:
        wanted = f"US dollars per second from 0 to {MAX_USD_PER_SECOND:,}"
        raise place.wrong(wanted, value, "Write a number such as 0.10.")
    return Decimal(str(value))


def _retired(place: _Place, value: Any) -> dict[str, date]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        return {ANY: _date(place, value)}
    return {model: _date(place.below(model), day) for model, day in value.items()}


def _date(place: _Place, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise place.wrong("a date", value, "Write it as 2026-09-24.") from None


def _is_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _suggest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(word, known, n=1)
    return f"Did you mean “{close[0]}”?" if close else f"Known: {', '.join(known)}."


def _brief(text: str) -> str:
    shown = _plain(text)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


_CHECKS: Mapping[str, Callable[[_Place, Any], Any]] = {
    "extends": _text,
    "base_url": _url,
    "model": _text,
    "allowed_seconds": _lengths,
    "sizes": _sizes,
    "auth": _auth,
    "api_key_env": _variables,
    "encoding": _one_of("multipart", "json"),
    "seconds_field": _text,
    "seconds_type": _one_of("str", "int"),
    "size_field": _optional_text,
    "send_model": _switch,
    "content": _one_of("endpoint", "job_url"),
    "lists": _switch,
    "extra_fields": _fields,
    "extra_headers": _headers,
    "prices": _prices,
    "max_in_flight": _count,
    "retired": _retired,
    "reconcile_after_seconds": _delay,
}
