"""What a catalog must contain, and how a mistake in it is put into words.

Every part is checked that can be checked, whatever is wrong elsewhere: one run
shows all mistakes.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import (
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set as AbstractSet,
)
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from spritz_cli.catalog.topics import compute, parameters_model
from spritz_cli.errors import Problem, VidgenError
from spritz_cli.models import Cue, KeyFigure, Template, TextCard
from spritz_cli.templating import evaluate, render_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
_Name = tuple[str, str]

VERSION = 1
MAX_TEMPLATES = 5_000
MAX_PERSONAS = 1_000

#: Comparing two names takes up to a millisecond: how often in one catalog.
MAX_COMPARED = 5_000
LONGEST_NAME = 100

CAPTION_LINES = 2
CAPTION_WIDTH = 42

#: Longest text as it is read, after its expressions are filled in.
LONGEST: Mapping[Location, int] = {
    ("title",): 40,
    ("takeaway",): 60,
    ("alt",): 200,
    ("card", "headline"): 60,
    ("card", "body"): 400,
    ("card", "action"): 120,
}
LONGEST_LABEL = 24

DEFAULT_STYLE = "educational, supportive"
DEFAULT_SCENE = "card.svg.j2"

_Id = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
_Seconds = Annotated[float, Field(ge=0, le=60)]


def _dated(text: str) -> str:
    date.fromisoformat(text)
    return text


_Date = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(_dated)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PersonaEntry(_Strict):
    accent: Literal["indigo", "teal", "berry", "green"]
    topics: Annotated[tuple[_Id, ...], Field(min_length=1, max_length=100)]


class CardEntry(_Strict):
    headline: _Text
    body: _Text
    action: _Text


class CaptionEntry(_Strict):
    start: _Seconds
    end: _Seconds
    text: _Text


class FigureEntry(_Strict):
    value: _Text
    format: Literal["usd", "usd2", "pct", "pct2", "number"]
    label: _Text


class TemplateEntry(_Strict):
    persona: _Id
    topic: _Id
    title: _Text
    duration_seconds: Annotated[int, Field(ge=5, le=60)]
    prompt_template: _Text
    visual_metaphor: _Text
    style: _Text = DEFAULT_STYLE
    fallback_static: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}\.svg\.j2$")] = DEFAULT_SCENE
    takeaway: _Text
    card: CardEntry
    alt: _Text
    captions: Annotated[tuple[CaptionEntry, ...], Field(min_length=1, max_length=60)]
    figures: Annotated[tuple[FigureEntry, ...], Field(min_length=1, max_length=3)]
    parameters: dict[str, Any] = {}
    review_by: _Date | None = None
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    take: Annotated[int, Field(ge=1, le=1_000)] = 1


class CatalogEntry(_Strict):
    version: Literal[1]
    personas: Annotated[dict[_Id, PersonaEntry], Field(min_length=1, max_length=MAX_PERSONAS)]
    templates: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MAX_TEMPLATES)]


_ID = (
    "1–64 of a–z, 0–9 and _",
    "Use lower-case letters, digits and underscores: the name becomes a folder.",
)

_VERSION_HINT = f"Write “version: {VERSION}”; this vidgen reads no other."

#: Field -> what it must be, what to do.
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "version": (f"{VERSION}", _VERSION_HINT),
    "personas": (
        f"a mapping of 1–{MAX_PERSONAS:,} personas",
        "Indent “name: {accent: …, topics: […]}” below.",
    ),
    "templates": (f"a list of 1–{MAX_TEMPLATES:,} templates", "Add templates: “- persona: …”."),
    "persona": _ID,
    "topic": _ID,
    "topics[]": _ID,
    "[key]": _ID,
    "accent": ("indigo, teal, berry or green", "Choose one of the four colours."),
    "topics": ("a list of 1–100 topics", "List the topics of the persona in brackets."),
    "duration_seconds": ("5–60", "Set a whole number of seconds from 5 to 60."),
    "fallback_static": (
        "a file name such as card.svg.j2",
        "Name a file of svg_templates: lower-case letters, digits and _, then .svg.j2.",
    ),
    "captions": ("a list of 1–60 captions", "Add lines “- {start: 0.3, end: 2.9, text: …}”."),
    "start": ("0–60 seconds", "Set seconds from the beginning of the film, such as 0.3."),
    "end": ("0–60 seconds", "Set seconds from the beginning of the film, such as 2.9."),
    "figures": (
        "a list of 1–3 key figures",
        "Add lines “- {value: payment, format: usd, label: …}”.",
    ),
    "value": (
        "the name of a parameter or result",
        "Write a name such as payment, or a path such as debts[0].balance.",
    ),
    "format": ("usd, usd2, pct, pct2 or number", "Choose one of the five formats."),
    "review_by": ("a date such as 2027-06-30", 'Write it in quotes: "2027-06-30".'),
    "priority": ("−1,000–1,000", "Set a whole number; the highest gets footage first."),
    "take": ("1–1,000", "Set a whole number; a higher one buys other footage of the same prompt."),
}

#: pydantic's error type -> what the value must be. Braces take the error's context.
_REQUIREMENTS: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "number_needed": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "literal_error": "{expected}",
    "greater_than": "above {gt:,}",
    "greater_than_equal": "{ge:,} or more",
    "less_than": "below {lt:,}",
    "less_than_equal": "{le:,} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a collection of {min_length} or more",
    "too_long": "a collection of at most {max_length}",
}

_HINTS: Mapping[str, str] = {
    "string_type": "Write a text; put quotes around a number that is meant as text.",
    "string_too_short": "Write the text, or delete the line if it is optional.",
    "dict_type": "Indent its “key: value” lines below it.",
    "model_type": "Indent its “key: value” lines below it.",
    "list_type": "Begin each item with “- ”, or write [a, b].",
    "tuple_type": "Begin each item with “- ”, or write [a, b].",
}


@dataclass(frozen=True)
class Document:
    """A catalog file as plain values; `lines` knows where each of them stands.

    What lies below a location in `spoilt` could not be read; `problems` says why.
    """

    file: str
    value: Any
    lines: Mapping[Location, int]
    spoilt: frozenset[Location] = frozenset()
    problems: Sequence[Problem] = ()

    def line(self, at: Location) -> int:
        """Return the line of a value, or of the nearest value around it."""
        around = (at[:length] for length in range(len(at), -1, -1))
        return next((self.lines[place] for place in around if place in self.lines), 1)

    def label(self, at: Location) -> str:
        """Name a location as people do: `persona/topic: card.headline`."""
        if at[:1] != ("templates",) or len(at) < 2:
            return _dotted(at)
        entry, rest = f"templates[{at[1]}]", at[2:]
        match self.value["templates"][at[1]]:
            case {"persona": str(persona), "topic": str(topic)}:
                entry = f"{_cut(persona)}/{_cut(topic)}"
        return f"{entry}: {_dotted(rest)}" if rest else entry


def check(
    document: Document, scenes: Path, enough: int
) -> tuple[tuple[Template, ...], list[Problem]]:
    """Return the templates of a catalog in the order of its personas, and all its problems.

    `scenes` is the folder that must hold the scene files. The search ends when `enough`
    problems are found.
    """
    findings = _Findings(document, enough)
    try:
        return _check(document, scenes, findings), findings.problems
    except _EnoughFound:
        return (), findings.problems


def _check(document: Document, scenes: Path, findings: _Findings) -> tuple[Template, ...]:
    """Return the templates; none of them counts if there are findings."""
    if not isinstance(document.value, dict):
        what = "is empty" if document.value is None else "is not a mapping of keys to values"
        hint = "It needs the keys version, personas and templates."
        findings.add((), f"the catalog {what}", hint)
        return ()
    _check_visible(document.value, (), findings)
    version = document.value.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        # The keys of another version may mean anything: nothing else is said about them.
        findings.add(
            ("version",), f"version must be {VERSION}, got {_show(version)}", _VERSION_HINT
        )
        return ()
    _validate(CatalogEntry, document.value, (), findings)
    entries = _entries(document.value)
    listed = _listed(document.value, findings)
    for at, raw in entries:
        _validate(TemplateEntry, raw, at, findings)
    _check_listing(listed, entries, findings)
    resolved = [(raw, _resolve(raw, at, findings, scenes)) for at, raw in entries]
    if findings.problems:
        return ()
    return _in_listed_order(listed, document.value["personas"], resolved)


class _EnoughFound(Exception):
    """Nobody reads so many problems, and looking for near names costs more with each."""


class _Findings:
    """The problems so far, and which values they spoil for the checks to come."""

    def __init__(self, document: Document, enough: int) -> None:
        self.document = document
        self._enough = enough
        self._compared = 0
        self.problems = list(document.problems)
        self._places = set(document.spoilt)
        self._around = {place[:end] for place in self._places for end in range(len(place) + 1)}

    def add(self, at: Location, message: str, hint: str) -> None:
        """Note a problem, unless the value could not even be read."""
        if _below(at, self.document.spoilt):
            return
        self.problems.append(Problem(self.document.file, self.document.line(at), message, hint))
        if len(self.problems) >= self._enough:
            raise _EnoughFound
        self._places.add(at)
        self._around.update(at[:end] for end in range(len(at) + 1))

    def spoilt(self, at: Location) -> bool:
        """Tell whether the value, a part of it or what it is part of has a problem."""
        return at in self._around or _below(at, self._places)

    def label(self, at: Location) -> str:
        return self.document.label(at)

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


def _below(at: Location, places: AbstractSet[Location]) -> bool:
    return any(at[:end] in places for end in range(len(at) + 1))


def _check_visible(value: Any, at: Location, findings: _Findings) -> None:
    if isinstance(value, str) and (name := invisible(value)):
        message = f"{findings.label(at)} contains the invisible character {name}"
        findings.add(at, message, "Delete the character or its escape.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_visible(item, (*at, index), findings)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_visible(key, (*at, key), findings)
            _check_visible(item, (*at, key), findings)


def _entries(catalog: Mapping[str, Any]) -> list[tuple[Location, dict[str, Any]]]:
    return [
        (("templates", index), entry)
        for index, entry in enumerate(_items(catalog.get("templates"))[:MAX_TEMPLATES])
        if isinstance(entry, dict)
    ]


def _listed(catalog: Mapping[str, Any], findings: _Findings) -> dict[_Name, Location]:
    """Return where each persona × topic is listed."""
    listed: dict[_Name, Location] = {}
    for persona, entry in _mapping(catalog.get("personas")).items():
        for index, topic in enumerate(_items(_mapping(entry).get("topics"))):
            at = ("personas", persona, "topics", index)
            if not isinstance(topic, str):
                continue
            if (persona, topic) in listed:
                message = f"{findings.label(at[:-1])} lists {_show(topic)} twice"
                findings.add(at, message, "Delete one of the two.")
            listed.setdefault((persona, topic), at)
    return listed


def _check_listing(
    listed: Mapping[_Name, Location],
    entries: Sequence[tuple[Location, Mapping[str, Any]]],
    findings: _Findings,
) -> None:
    named = {
        at: (entry["persona"], entry["topic"])
        for at, entry in entries
        if not any(findings.spoilt((*at, part)) for part in ("persona", "topic"))
    }
    defined: dict[_Name, Location] = {}
    for at, name in named.items():
        if defined.setdefault(name, at) != at:
            first = findings.document.line(defined[name])
            message = f"{findings.label(at)} is already defined on line {first}"
            findings.add((*at, "topic"), message, "Delete or rename one of the two.")
        elif name not in listed:
            _check_listed(name, at, listed, findings)
    # While the name of a template is wrong, it may be the one that seems to be missing.
    if len(named) == len(_items(findings.document.value.get("templates"))) > 0:
        _check_defined(listed, defined, findings)


def _check_listed(name: _Name, at: Location, listed: Iterable[_Name], findings: _Findings) -> None:
    persona, topic = name
    personas = _mapping(findings.document.value.get("personas"))
    if personas and persona not in personas:
        message = f"{findings.label(at)}: unknown persona {_show(persona)}"
        findings.add((*at, "persona"), message, findings.suggest(persona, personas, "Personas"))
    elif personas and not findings.spoilt(("personas", persona, "topics")):
        topics = [other for owner, other in listed if owner == persona]
        close = findings.near(topic, topics)
        hint = f"Did you mean {close}? If not, add" if close else "Add"
        message = f"{findings.label(at)} is not listed under personas"
        findings.add((*at, "topic"), message, f"{hint} {topic} to personas.{persona}.topics.")


def _check_defined(
    listed: Mapping[_Name, Location], defined: Container[_Name], findings: _Findings
) -> None:
    for name, at in listed.items():
        if name not in defined:
            message = f"{findings.label(at[:-1])} lists {_show(name[1])}, which is not defined"
            hint = f"Add a template {'/'.join(name)} below, or delete the topic here."
            findings.add(at, message, hint)


@dataclass(frozen=True)
class _Resolved:
    """What the expressions of one entry came to."""

    texts: Mapping[Location, str]
    results: Mapping[str, Any]
    figures: Sequence[float]


def _resolve(
    raw: Mapping[str, Any], at: Location, findings: _Findings, scenes: Path
) -> _Resolved | None:
    _check_scene(raw.get("fallback_static", DEFAULT_SCENE), at, findings, scenes)
    _check_times(raw, at, findings)
    results = _results(raw, at, findings)
    if results is None:
        return None
    values = {**_mapping(raw.get("parameters")), **results}
    texts = {
        where: _text(source, values, (*at, *where), findings)
        for where, source in _sources(raw)
        if isinstance(source, str) and not findings.spoilt((*at, *where))
    }
    figures = [
        _figure(_mapping(figure).get("value"), values, (*at, "figures", index, "value"), findings)
        for index, figure in enumerate(_items(raw.get("figures")))
    ]
    return _Resolved(texts, results, figures)


def _check_scene(name: Any, at: Location, findings: _Findings, scenes: Path) -> None:
    at = (*at, "fallback_static")
    if findings.spoilt(at) or (scenes / name).is_file():
        return
    known = {file.name for file in scenes.glob("*.svg.j2")}
    message = f"{findings.label(at)}: there is no {name} in {scenes.name}"
    findings.add(at, message, findings.suggest(name, known, "Scenes"))


def _check_times(raw: Mapping[str, Any], at: Location, findings: _Findings) -> None:
    previous: Mapping[str, Any] = {"start": 0, "end": 0}
    length = None if findings.spoilt((*at, "duration_seconds")) else raw["duration_seconds"]
    for index, cue in enumerate(_items(raw.get("captions"))):
        place = (*at, "captions", index)
        if any(findings.spoilt((*place, name)) for name in ("start", "end")):
            continue
        wrong = _timing(cue, previous, length)
        if wrong:
            hint = "Captions follow each other without overlap, within the film."
            findings.add((*place, "start"), f"{findings.label(place)} {wrong}", hint)
        previous = cue


def _timing(cue: Mapping[str, Any], previous: Mapping[str, Any], length: int | None) -> str | None:
    if cue["end"] <= cue["start"]:
        return f"must end after it starts ({cue['start']}), got end {cue['end']}"
    if length is not None and cue["end"] > length:
        return f"ends at {cue['end']}, after the film ({length})"
    if cue["start"] < previous["start"]:
        return f"starts at {cue['start']}, before the caption above ({previous['start']})"
    if cue["start"] < previous["end"]:
        return f"starts at {cue['start']}, before the caption above ends ({previous['end']})"
    return None


def _results(raw: Mapping[str, Any], at: Location, findings: _Findings) -> dict[str, Any] | None:
    topic, place = raw.get("topic"), (*at, "parameters")
    if not isinstance(topic, str):
        return None
    parameters, model = raw.get("parameters", {}), parameters_model(topic)
    if model is None and findings.spoilt((*at, "topic")):
        # A misspelt topic: its texts would only name results that it does not have.
        return None
    if model and not findings.spoilt(place):
        _validate(model, parameters, place, findings, expected={})
    if findings.spoilt(place):
        return None
    try:
        computed = json.dumps(compute(topic, parameters), allow_nan=False)
    except (VidgenError, ValueError, ArithmeticError) as exc:
        findings.add(place, f"{findings.label(place)}: {exc}", "Change the parameters here.")
        return None
    # Through JSON, so that a cached catalog holds the very same values.
    results: dict[str, Any] = json.loads(computed)
    return results


def _sources(raw: Mapping[str, Any]) -> Iterator[tuple[Location, Any]]:
    for where in LONGEST:
        yield where, _value_at(where, raw)
    for name, key in (("captions", "text"), ("figures", "label")):
        for index, item in enumerate(_items(raw.get(name))):
            yield (name, index, key), _mapping(item).get(key)


def _value_at(where: Location, value: Any) -> Any:
    for key in where:
        value = _mapping(value).get(str(key))
    return value


def _text(source: str, values: Mapping[str, Any], at: Location, findings: _Findings) -> str:
    try:
        text = render_text(source, values).strip()
    except VidgenError as exc:
        findings.add(at, f"{findings.label(at)}: {exc.message}", exc.hint)
        return ""
    wrong = _caption_fault(text) if at[2] == "captions" else _line_fault(text, at[2:])
    if wrong:
        findings.add(at, f"{findings.label(at)} {wrong[0]}", wrong[1])
    return text


def _line_fault(text: str, where: Location) -> tuple[str, str] | None:
    longest = LONGEST.get(where, LONGEST_LABEL)
    if not text:
        return "must not be empty", "Write the text."
    if "\n" in text or invisible(text):
        return "must be one line of visible characters", "Use “>-” for a long text."
    if len(text) > longest:
        return f"must be at most {longest} characters, got {len(text)}", "Shorten the text."
    return None


def _caption_fault(text: str) -> tuple[str, str] | None:
    lines = text.split("\n")
    widest = max(lines, key=len)
    if not all(line.strip() for line in lines) or invisible(text):
        return "must be visible text without empty lines", "Write the text."
    if len(lines) > CAPTION_LINES:
        return f"must be at most {CAPTION_LINES} lines, got {len(lines)}", "Make it two captions."
    if len(widest) > CAPTION_WIDTH:
        return (
            f"must have at most {CAPTION_WIDTH} characters in a line, got {len(widest)}",
            "Break the line with \\n in quotes, or shorten it.",
        )
    return None


def _figure(source: Any, values: Mapping[str, Any], at: Location, findings: _Findings) -> float:
    if not isinstance(source, str) or findings.spoilt(at):
        return 0.0
    try:
        value = evaluate(source, values)
    except VidgenError as exc:
        findings.add(at, f"{findings.label(at)}: {exc.message}", exc.hint)
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{findings.label(at)} must be a number, but {_cut(source)} is {_show(value)}"
        findings.add(at, message, "Name a parameter or result that is a number.")
        return 0.0
    return float(value)


def _in_listed_order(
    listed: Iterable[_Name],
    personas: Mapping[str, Any],
    resolved: Iterable[tuple[Mapping[str, Any], _Resolved | None]],
) -> tuple[Template, ...]:
    templates = {
        (raw["persona"], raw["topic"]): _build(raw, parts, personas[raw["persona"]]["accent"])
        for raw, parts in resolved
        if parts
    }
    return tuple(templates[name] for name in listed)


def _build(raw: Mapping[str, Any], resolved: _Resolved, accent: str) -> Template:
    texts = resolved.texts
    return Template(
        persona=raw["persona"],
        topic=raw["topic"],
        title=texts["title",],
        prompt_template=raw["prompt_template"].strip(),
        visual_metaphor=raw["visual_metaphor"].strip(),
        duration_seconds=raw["duration_seconds"],
        style=raw.get("style", DEFAULT_STYLE).strip(),
        fallback_static=raw.get("fallback_static", DEFAULT_SCENE),
        accent=accent,
        takeaway=texts["takeaway",],
        card=TextCard(*(texts["card", part] for part in ("headline", "body", "action"))),
        alt=texts["alt",],
        captions=tuple(
            Cue(float(cue["start"]), float(cue["end"]), texts["captions", index, "text"])
            for index, cue in enumerate(raw["captions"])
        ),
        parameters=raw.get("parameters", {}),
        results=resolved.results,
        figures=tuple(
            KeyFigure(value, figure["format"], texts["figures", index, "label"])
            for index, (figure, value) in enumerate(
                zip(raw["figures"], resolved.figures, strict=True)
            )
        ),
        review_by=raw.get("review_by"),
        priority=raw.get("priority", 0),
        take=raw.get("take", 1),
    )


def _validate(
    model: type[BaseModel],
    value: Any,
    at: Location,
    findings: _Findings,
    expected: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    try:
        # As JSON, where pydantic takes a list for a tuple even when it is strict.
        model.model_validate_json(json.dumps(value))
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        for error in errors:
            if not _is_echo(error, errors):
                _report(error, model, at, findings, _EXPECTED if expected is None else expected)


def _is_echo(error: ErrorDetails, errors: Iterable[ErrorDetails]) -> bool:
    """Tell whether a list only seems too short because items in it are wrong."""
    at = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(at)] == at for other in errors if other is not error
    )


def _report(
    error: ErrorDetails,
    model: type[BaseModel],
    at: Location,
    findings: _Findings,
    expected: Mapping[str, tuple[str, str]],
) -> None:
    place = (*at, *(part for part in error["loc"] if part != "[key]"))
    label = findings.label(place)
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            must_be = expected.get(str(place[-1]))
            needs = f"; it must be {must_be[0]}" if must_be else ""
            findings.add(place, f"{label} is missing", f"Add a line “{place[-1]}: …”{needs}.")
        case "extra_forbidden":
            owner, key = findings.label(place[:-1]), str(place[-1])
            message = f"{owner}: unknown key {_show(key)}" if owner else f"unknown key {_show(key)}"
            findings.add(
                place, message, findings.suggest(key, _known_keys(model, error["loc"]), "Keys")
            )
        case "value_error" | "assertion_error":
            findings.add(place, f"{label}: {context['error']}", "Change the values here.")
        case "string_too_short" if context["min_length"] == 1:
            findings.add(place, f"{label} must not be empty", "Write the text.")
        case _:
            requirement, hint = _wanted(error, expected)
            got = _show(error["input"])
            findings.add(place, f"{label} must be {requirement}, got {got}", hint)


def _wanted(error: ErrorDetails, expected: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Return what a value must be, and the hint: of its field, or else of the kind of error."""
    *_, owner, field = "", *error["loc"]
    name = f"{owner}[]" if isinstance(field, int) else field
    if name in expected:
        return expected[name]
    kind = error["type"]
    if kind not in _REQUIREMENTS:
        return f"valid ({error['msg']})", "Change the value."
    requirement = _REQUIREMENTS[kind].format(**error.get("ctx", {}))
    return requirement, _HINTS.get(kind, f"Make it {requirement}.")


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that the model knows beside the last part of `loc`."""
    found: type[BaseModel] | None = model
    for part in loc[:-1]:
        if found and isinstance(part, str) and part in found.model_fields:
            found = _model_in(found.model_fields[part].annotation)
    return list(found.model_fields) if found else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in models if model), None)


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


def _show(value: Any) -> str:
    """Return a value as it would stand in the catalog, in brief."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
        case Decimal():
            return str(value)
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    """Return at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:39]}…"


def _dotted(at: Location) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" for part in at)
    return "".join(parts).removeprefix(".")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
