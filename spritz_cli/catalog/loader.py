"""`templates.yaml` → `Catalog`: read strictly, resolved once, remembered until an input changes.

This module is the home of YAML. What a catalog must contain stands in `catalog_schema`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spritz_cli.errors import (
    CatalogError,
    Problem,
    UnknownTemplate,
    UsageError,
    did_you_mean,
    libraries_of,
)
from spritz_cli.models import Cue, KeyFigure, Template, TextCard
from spritz_cli.settings import PACKAGE, load_settings, shipped

if TYPE_CHECKING:
    from spritz_cli.catalog.schema import Document, Location

#: Half as much again as catalog_schema.MAX_TEMPLATES templates like those that ship with vidgen,
#: which take 2.4 kB and 64 values each.
MAX_BYTES = 20_000_000
MAX_VALUES = 500_000

MAX_DEPTH = 20
MAX_ITEMS = 10_000

#: A file of nonsense is neither described line by line nor searched to its end.
MAX_PROBLEMS = 100
ENOUGH_PROBLEMS = 3 * MAX_PROBLEMS

#: Modules whose source decides what a catalog resolves to.
DECIDING = ("catalog", "formatting", "models", "templating")


class Catalog(NamedTuple):
    """Every template of one file, in the order in which the file lists them under `personas`."""

    path: Path
    templates: tuple[Template, ...]

    def get(self, persona: str, topic: str) -> Template:
        """Return one template; UnknownTemplate names what is not there."""
        for item in self.templates:
            if (item.persona, item.topic) == (persona, topic):
                return item
        known = [(item.persona, item.topic) for item in self.templates]
        raise UnknownTemplate.among(persona, topic, known)

    def select(self, persona: str = "*", topic: str = "*") -> tuple[Template, ...]:
        """Return the templates that two globs name, at least one."""
        in_persona = [item for item in self.templates if fnmatchcase(item.persona, persona)]
        if not in_persona:
            hint = did_you_mean(persona, [item.persona for item in self.templates])
            raise UsageError(f"no persona matches “{persona}” in {self.path}", hint=hint)
        chosen = tuple(item for item in in_persona if fnmatchcase(item.topic, topic))
        if not chosen:
            hint = did_you_mean(topic, [item.topic for item in in_persona])
            raise UsageError(f"no topic of {persona} matches “{topic}” in {self.path}", hint=hint)
        return chosen


@libraries_of("spritz-vidgen")
def get_template(persona: str, topic: str) -> Template:
    """Return one template of the catalog that the settings name."""
    settings = load_settings()
    catalog = load_catalog(settings.catalog, settings.scenes, cache_dir=settings.state_dir)
    return catalog.get(persona, topic)


def load_catalog(path: Path, scenes: Path | None = None, cache_dir: Path | None = None) -> Catalog:
    """Read and check the whole catalog.

    Raises CatalogError with every problem found, in line order, and UsageError
    if there is no such file. `scenes` is the folder of the scene files; with
    `cache_dir` a catalog that was read before is not checked again.
    """
    content = _read(path)
    scenes = scenes or _scenes_for(path)
    cached = _cache_file(cache_dir, content) if cache_dir else None
    templates = _load_cached(cached) if cached else None
    if templates is None or _lacks_a_scene(templates, scenes):
        templates = _resolve(content, _shown(path), scenes)
        if cached:
            _save_cached(cached, templates)
    return Catalog(path, templates)


def _lacks_a_scene(templates: Iterable[Template], scenes: Path) -> bool:
    return not all((scenes / item.fallback_static).is_file() for item in templates)


def _scenes_for(catalog: Path) -> Path:
    beside = catalog.parent / "svg_templates"
    return beside if beside.is_dir() else shipped("svg_templates")


def _read(path: Path) -> bytes:
    try:
        _require_regular_file(path)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise UsageError(
            f"{path}: cannot read the catalog: {exc.strerror}",
            hint="Name a templates.yaml with --catalog or VIDGEN_CATALOG.",
        ) from exc
    if len(content) > MAX_BYTES:
        message = f"the catalog is larger than {MAX_BYTES // 1_000_000} MB"
        hint = "A catalog of 2,000 templates takes about 5 MB: is this the right file?"
        raise _catalog_error([Problem(_shown(path), 1, message, hint)])
    return content


def _require_regular_file(path: Path) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # A pipe without a writer would keep us waiting for ever, a device could be endless.
        raise OSError(errno.EINVAL, "it is not a regular file")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _resolve(content: bytes, file: str, scenes: Path) -> tuple[Template, ...]:
    from spritz_cli.catalog.schema import check

    document = _read_yaml(_decode(content, file), file)
    templates, problems = check(document, scenes, ENOUGH_PROBLEMS)
    if problems:
        raise _catalog_error(problems)
    return templates


def _catalog_error(problems: Iterable[Problem]) -> CatalogError:
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
    shown = [_printable(item) for item in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        count = len(ordered) - MAX_PROBLEMS
        more = f"… and {count}{' or' if len(ordered) >= ENOUGH_PROBLEMS else ''} more problems"
        shown.append(shown[-1]._replace(message=more, hint="Mend those above first."))
    return CatalogError(shown)


def _printable(problem: Problem) -> Problem:
    """A problem may quote the file, but neither steer nor flood the terminal."""
    return problem._replace(message=_plain(problem.message), hint=_plain(problem.hint))


def _plain(text: str) -> str:
    line = " ".join(text.split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return shown if len(shown) <= 500 else f"{shown[:499]}…"


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        hint = "Save the file with the encoding UTF-8."
        raise _catalog_error([Problem(file, line, "the file is not UTF-8 text", hint)]) from exc


def _read_yaml(text: str, file: str) -> Document:
    import yaml

    from spritz_cli.catalog.schema import Document

    _refuse_invisible(text, file)
    reader = _Reader(file)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader.feed(event)
    except yaml.YAMLError as exc:
        raise _catalog_error([*reader.problems, _syntax(exc, file)]) from exc
    return Document(file, reader.root, reader.lines, frozenset(reader.spoilt), reader.problems)


def _refuse_invisible(text: str, file: str) -> None:
    from spritz_cli.catalog.schema import invisible

    lines = enumerate(text.replace("\r\n", "\n").replace("\t", " ").split("\n"), start=1)
    hint = "Delete the character; it was probably pasted from elsewhere."
    all_found = (
        Problem(file, number, f"the line contains the invisible character {name}", hint)
        for number, line in lines
        if (name := invisible(line))
    )
    if found := list(islice(all_found, ENOUGH_PROBLEMS)):
        raise _catalog_error(found)


def _syntax(exc: Any, file: str) -> Problem:
    mark = getattr(exc, "problem_mark", None)
    opened = getattr(exc, "context_mark", None)
    what = getattr(exc, "problem", None) or str(exc).split("\n", 1)[0]
    began = ""
    if mark and opened and opened.line != mark.line:
        began = f" ({exc.context}, which began on line {opened.line + 1})"
    return Problem(
        file, mark.line + 1 if mark else 1, f"not valid YAML: {what}{began}", _syntax_hint(what)
    )


def _syntax_hint(what: str) -> str:
    if "tab" in what or "\\t" in what:
        return "Indent with spaces, never with tabs."
    if "mapping values" in what:
        return "Put the text in quotes if it contains “: ”, or check the indentation."
    return "Check indentation, quotes and brackets here and above; one may not be closed."


class _Reader:
    """Builds plain values from YAML events, without recursion, and notes the line of each.

    Everything but plain YAML is refused: aliases (they can multiply a small
    file into gigabytes), tags, repeated keys, and values that the versions of
    YAML read differently.
    """

    def __init__(self, file: str) -> None:
        self.root: Any = None
        self.lines: dict[Location, int] = {(): 1}
        self.spoilt: set[Location] = set()
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[_Container] = []
        self._values = 0

    def feed(self, event: Any) -> None:
        """Take the next event of the file."""
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
        self._open.append(_Container(value, location))

    def _bad_key(self, event: Any) -> Location:
        hint = "A text that begins with {{ or [ needs quotes around it."
        self._problem(event, "a list or mapping stands where a key should be", hint)
        parent = self._open[-1]
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
        self._problem(event, f"the alias *{event.anchor} is not allowed", "Write the value out.")

    def _scalar(self, event: Any) -> None:
        if self._at_key():
            self._key(event)
            return
        value, doubt = _scalar(event.value) if event.implicit[0] else (event.value, "")
        location = self._place(value, event)
        self._refuse_decoration(event, location)
        if doubt:
            self.spoilt.add(location)
            self._problem(event, doubt, _QUOTES)

    def _key(self, event: Any) -> None:
        parent = self._open[-1]
        key = parent.key = event.value
        location = (*parent.at, key)
        if event.implicit[0] and _scalar(key) != (key, ""):
            self._problem(event, f"the key {key or 'is empty: it'} must be text", _QUOTES)
        if key in parent.value:
            first = self.lines[location]
            self._problem(
                event,
                f"the key “{key}” is already on line {first}",
                "Delete one of the two; YAML would silently use the last.",
            )
        self._refuse_decoration(event, location)
        self.lines.setdefault(location, event.start_mark.line + 1)

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
            self._problem(event, f"the tag {event.tag} is not allowed", "Write a plain value.")
        if event.anchor is not None:
            what = f"the anchor &{event.anchor} is not allowed"
            self._problem(event, what, "Delete it; aliases are not allowed either.")

    def _problem(self, event: Any, message: str, hint: str) -> None:
        self.problems.append(Problem(self._file, event.start_mark.line + 1, message, hint))
        if len(self.problems) >= ENOUGH_PROBLEMS:
            raise _catalog_error(self.problems)

    def _stop(self, event: Any, message: str, hint: str) -> None:
        self._problem(event, message, hint)
        raise _catalog_error(self.problems)


@dataclass
class _Container:
    """A mapping or list that is still being filled."""

    value: Any
    at: Location
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


_QUOTES = "Put quotes around it if it is text; write numbers as 1234.5, switches as true or false."
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")

#: A number that is longer cannot be kept exactly.
_LONGEST_NUMBER = 17

#: What is a number, date or switch in one version of YAML and a text in another.
_DOUBTFUL = re.compile(
    r"yes|no|on|off|=|<<"
    r"|[-+]?\.?[0-9][0-9_:.]*(e[-+]?[0-9]+)?|0[xo][0-9a-f_]+|[-+]?\.(inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*",
    re.IGNORECASE,
)


def _scalar(text: str) -> tuple[Any, str]:
    """Return the value of an unquoted scalar, and what is doubtful about it."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()], ""
    is_whole = _WHOLE.fullmatch(text)
    if is_whole or _DECIMAL.fullmatch(text):
        if len(text) > _LONGEST_NUMBER:
            return text, f"the number {text} is too long"
        return int(text) if is_whole else float(text), ""
    if _DOUBTFUL.fullmatch(text):
        return text, f"it is unclear what {text} means: a number, a switch or a text"
    return text, ""


# The cache saves every process the YAML, pydantic and Jinja2 imports. It is never a
# reason to fail: what cannot be read or written is worked out again.


def _cache_file(folder: Path, content: bytes) -> Path:
    digest = hashlib.sha256(repr(sys.version_info[:3]).encode())
    for source in [content, *_deciding_sources()]:
        digest.update(hashlib.sha256(source).digest())
    return folder / f"catalog-{digest.hexdigest()}.json"


def _load_cached(file: Path) -> tuple[Template, ...] | None:
    try:
        checksum, _, payload = file.read_bytes().partition(b"\n")
        if hashlib.sha256(payload).hexdigest().encode() != checksum:
            return None
        return tuple(_template(item) for item in json.loads(payload))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save_cached(file: Path, templates: Iterable[Template]) -> None:
    payload = json.dumps([item.plain() for item in templates], ensure_ascii=False).encode()
    checksum = hashlib.sha256(payload).hexdigest().encode()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, checksum + b"\n" + payload)
        for old in file.parent.glob("catalog-*.json"):
            if old != file:
                old.unlink(missing_ok=True)
    except OSError:
        return


def _write(file: Path, content: bytes) -> None:
    handle, scratch = tempfile.mkstemp(prefix=".catalog-", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        # Same directory, so readers see the old file or the whole new one.
        Path(scratch).replace(file)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _deciding_sources() -> Iterator[bytes]:
    for name in DECIDING:
        for file in (PACKAGE / f"{name}.py", *sorted((PACKAGE / name).rglob("*.py"))):
            if file.is_file():
                yield file.read_bytes()


def _template(values: dict[str, Any]) -> Template:
    return Template(
        **values
        | {
            "card": TextCard(**values["card"]),
            "captions": tuple(Cue(**cue) for cue in values["captions"]),
            "figures": tuple(KeyFigure(**figure) for figure in values["figures"]),
        }
    )
