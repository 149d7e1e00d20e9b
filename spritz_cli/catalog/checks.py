"""What is checked across the fields of a catalog: its listing, its scenes, its captions' times.

Every part is checked that can be checked, whatever is wrong elsewhere: one run shows all
mistakes.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from spritz_cli.catalog.findings import (
    EnoughFound,
    Findings,
    as_list,
    as_mapping,
    in_order,
    show,
)
from spritz_cli.catalog.resolve import Resolved, build, resolve
from spritz_cli.catalog.schema import (
    DEFAULT_SCENE,
    EXPECTED,
    MAX_TEMPLATES,
    VERSION,
    VERSION_HINT,
    CatalogEntry,
    TemplateEntry,
    name_of,
)
from spritz_cli.catalog.strict_yaml import Document, Location
from spritz_cli.catalog.validation import validate
from spritz_cli.errors import CatalogError
from spritz_cli.models import Template

_Name = tuple[str, str]


def check(document: Document, scenes: Path) -> tuple[Template, ...]:
    """Return the templates of a catalog in the order of its personas.

    `scenes` is the folder that must hold the scene files. Raises CatalogError.
    """
    findings = Findings(document, partial(name_of, document.value))
    templates: tuple[Template, ...] = ()
    with suppress(EnoughFound):
        templates = _check(document, scenes, findings)
    if findings.problems:
        raise CatalogError(in_order(problem for _, problem in findings.problems))
    return templates


def _check(document: Document, scenes: Path, findings: Findings) -> tuple[Template, ...]:
    """Return the templates; none of them counts if there are findings."""
    if not isinstance(document.value, dict):
        what = "is empty" if document.value is None else "is not a mapping of keys to values"
        hint = "It needs the keys version, personas and templates."
        findings.add((), f"the catalog {what}", hint)
        return ()
    findings.check_visible(document.value, ())
    version = document.value.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        # The keys of another version may mean anything: nothing else is said about them.
        message = f"version must be {VERSION}, got {show(version)}"
        findings.add(("version",), message, VERSION_HINT)
        return ()
    validate(CatalogEntry, document.value, (), findings, EXPECTED)
    entries = _entries(document.value)
    listed = _listed(document.value, findings)
    for at, raw in entries:
        validate(TemplateEntry, raw, at, findings, EXPECTED)
    _check_listing(listed, entries, findings)
    resolved = []
    for at, raw in entries:
        _check_scene(raw.get("fallback_static", DEFAULT_SCENE), at, findings, scenes)
        _check_times(raw, at, findings)
        resolved.append((raw, resolve(raw, at, findings)))
    if findings.problems:
        return ()
    return _in_listed_order(listed, document.value["personas"], resolved)


def _entries(catalog: Mapping[str, Any]) -> list[tuple[Location, dict[str, Any]]]:
    return [
        (("templates", index), entry)
        for index, entry in enumerate(as_list(catalog.get("templates"))[:MAX_TEMPLATES])
        if isinstance(entry, dict)
    ]


def _listed(catalog: Mapping[str, Any], findings: Findings) -> dict[_Name, Location]:
    """Return where each persona × topic is listed."""
    listed: dict[_Name, Location] = {}
    for persona, entry in as_mapping(catalog.get("personas")).items():
        for index, topic in enumerate(as_list(as_mapping(entry).get("topics"))):
            at = ("personas", persona, "topics", index)
            if not isinstance(topic, str):
                continue
            if (persona, topic) in listed:
                message = f"{findings.label(at[:-1])} lists {show(topic)} twice"
                findings.add(at, message, "Delete one of the two.")
            listed.setdefault((persona, topic), at)
    return listed


def _check_listing(
    listed: Mapping[_Name, Location],
    entries: Sequence[tuple[Location, Mapping[str, Any]]],
    findings: Findings,
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
    if len(named) == len(as_list(findings.document.value.get("templates"))) > 0:
        _check_defined(listed, defined, findings)


def _check_listed(name: _Name, at: Location, listed: Iterable[_Name], findings: Findings) -> None:
    persona, topic = name
    personas = as_mapping(findings.document.value.get("personas"))
    if personas and persona not in personas:
        message = f"{findings.label(at)}: unknown persona {show(persona)}"
        findings.add((*at, "persona"), message, findings.suggest(persona, personas, "Personas"))
    elif personas and not findings.spoilt(("personas", persona, "topics")):
        topics = [other for owner, other in listed if owner == persona]
        close = findings.near(topic, topics)
        hint = f"Did you mean {close}? If not, add" if close else "Add"
        message = f"{findings.label(at)} is not listed under personas"
        findings.add((*at, "topic"), message, f"{hint} {topic} to personas.{persona}.topics.")


def _check_defined(
    listed: Mapping[_Name, Location], defined: Container[_Name], findings: Findings
) -> None:
    for name, at in listed.items():
        if name not in defined:
            message = f"{findings.label(at[:-1])} lists {show(name[1])}, which is not defined"
            hint = f"Add a template {'/'.join(name)} below, or delete the topic here."
            findings.add(at, message, hint)


def _check_scene(name: Any, at: Location, findings: Findings, scenes: Path) -> None:
    at = (*at, "fallback_static")
    if findings.spoilt(at) or (scenes / name).is_file():
        return
    known = {file.name for file in scenes.glob("*.svg.j2")}
    message = f"{findings.label(at)}: there is no {name} in {scenes.name}"
    findings.add(at, message, findings.suggest(name, known, "Scenes"))


def _check_times(raw: Mapping[str, Any], at: Location, findings: Findings) -> None:
    previous: Mapping[str, Any] = {"start": 0, "end": 0}
    length = None if findings.spoilt((*at, "duration_seconds")) else raw["duration_seconds"]
    for index, cue in enumerate(as_list(raw.get("captions"))):
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


def _in_listed_order(
    listed: Iterable[_Name],
    personas: Mapping[str, Any],
    resolved: Iterable[tuple[Mapping[str, Any], Resolved | None]],
) -> tuple[Template, ...]:
    templates = {
        (raw["persona"], raw["topic"]): build(raw, parts, personas[raw["persona"]]["accent"])
        for raw, parts in resolved
        if parts
    }
    return tuple(templates[name] for name in listed)
