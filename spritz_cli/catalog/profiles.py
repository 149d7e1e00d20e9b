"""The profiles of several `providers.yaml`: laid over one another, each with its own problems."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from spritz_cli.catalog.findings import Findings, as_mapping, in_order, show
from spritz_cli.catalog.profile_schema import (
    EXPECTED,
    VERSION,
    VERSION_HINT,
    ProfileEntry,
    ProvidersEntry,
)
from spritz_cli.catalog.strict_yaml import Document, Location
from spritz_cli.catalog.validation import validate
from spritz_cli.errors import Problem, ProvidersError, UsageError
from spritz_cli.videos_api.profile import Profile

#: How many profiles may extend each other.
MAX_CHAIN = 20

NEEDED = ("base_url", "model", "allowed_seconds", "sizes")

#: Values that are laid over one another key by key; all others are replaced.
MERGED = ("extra_fields", "extra_headers", "prices", "retired")


@dataclass(frozen=True)
class _Layer:
    """What one file says about one profile; no values if there are problems."""

    at: Location
    values: Mapping[str, Any]
    extends: str | None
    problems: Sequence[Problem]
    findings: Findings

    def problem(self, key: str, message: str, hint: str) -> Problem:
        document = self.findings.document
        at = (*self.at, key)
        return Problem(
            document.file, document.line(at), f"{self.findings.label(at)}{message}", hint
        )


class Profiles:
    """The profiles of several files; what a later one says is laid over an earlier one."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._layers: dict[str, list[_Layer]] = {}
        self._of_files: list[Problem] = []
        for document in documents:
            self._add(document)

    def get(self, name: str) -> Profile:
        """Return one profile.

        Raises ProvidersError if a mistake spoils it or a whole file, and UsageError if there
        is none of this name.
        """
        if name not in self._layers:
            raise self._unknown(name)
        layers, problems = self._chain(name)
        if all_problems := [*self._of_files, *(problems or _missing(layers))]:
            raise ProvidersError(in_order(all_problems))
        values: Mapping[str, Any] = {}
        for layer in layers:
            values = _laid_over(values, layer.values)
        return Profile(name=name, **{key: values[key] for key in values if key != "extends"})

    def problems(self) -> list[Problem]:
        """Return the problems of all profiles, in the order of the lines."""
        problems = list(self._of_files)
        extended = {layer.extends for layers in self._layers.values() for layer in layers}
        for name in self._layers:
            layers, of_chain = self._chain(name)
            # What others extend may leave to them what it lacks.
            problems += of_chain or ([] if name in extended else _missing(layers))
        return in_order(problems)

    def _add(self, document: Document) -> None:
        # A file is small: all of its entries are checked, however many problems there are.
        findings = Findings(document, enough=math.inf)
        entries = _entries(document.value, findings)
        models = {
            name: validate(ProfileEntry, entry, ("profiles", name), findings, EXPECTED)
            for name, entry in entries.items()
            if isinstance(entry, dict)
        }
        problems: dict[str, list[Problem]] = {name: [] for name in entries}
        for at, problem in findings.problems:
            name = str(at[1]) if len(at) > 1 and at[0] == "profiles" else ""
            problems.get(name, self._of_files).append(problem)
        for name, entry in entries.items():
            layer = _layer(("profiles", name), entry, models.get(name), problems[name], findings)
            self._layers.setdefault(name, []).append(layer)

    def _chain(self, name: str) -> tuple[list[_Layer], list[Problem]]:
        """Return the layers of a profile, the lowest first, and all that is wrong with them."""
        layers = self._layers[name]
        problems: list[Problem] = []
        names = [name]
        while heirs := [layer for layer in self._layers[names[-1]] if layer.extends is not None]:
            parent = str(heirs[-1].extends)
            if problem := self._wrong_parent(parent, names, heirs[-1]):
                problems.append(problem)
                break
            names.append(parent)
            layers = [*self._layers[parent], *layers]
        problems += [problem for layer in layers for problem in layer.problems]
        return layers, problems

    def _wrong_parent(self, parent: str, names: Sequence[str], heir: _Layer) -> Problem | None:
        if len(names) == MAX_CHAIN:
            message = f": more than {MAX_CHAIN} profiles extend each other"
            return heir.problem("extends", message, "Extend one that stands on its own.")
        if parent in names:
            message = f" leads back to {parent}"
            return heir.problem("extends", message, "Delete one of these lines.")
        if parent not in self._layers:
            message = f": there is no profile {show(parent)}"
            hint = heir.findings.suggest(parent, self._layers, "Profiles")
            return heir.problem("extends", message, hint)
        return None

    def _unknown(self, name: str) -> UsageError:
        # A mistake may hide the profile.
        if problems := self.problems():
            return ProvidersError(problems)
        close = get_close_matches(name, self._layers, n=1)
        known = f"Known: {', '.join(sorted(self._layers))}; more may stand in a providers.yaml."
        return UsageError(
            f"there is no provider “{name}”", hint=f"Did you mean {close[0]}?" if close else known
        )


def _entries(value: Any, findings: Findings) -> Mapping[str, Any]:
    """Return the profiles that a file describes, not checked yet."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        hint = "It needs the key profiles."
        findings.add((), "the file is not a mapping of keys to values", hint)
        return {}
    version = value.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        # The keys of another version may mean anything: nothing else is said about them.
        message = f"version must be {VERSION}, got {show(version)}"
        findings.add(("version",), message, VERSION_HINT)
        return {}
    validate(ProvidersEntry, value, (), findings, EXPECTED)
    return as_mapping(value.get("profiles"))


def _layer(
    at: Location,
    entry: Any,
    model: ProfileEntry | None,
    problems: Sequence[Problem],
    findings: Findings,
) -> _Layer:
    values = {} if model is None else {key: getattr(model, key) for key in model.model_fields_set}
    extends = as_mapping(entry).get("extends")
    if not isinstance(extends, str) or findings.spoilt((*at, "extends")):
        extends = None
    return _Layer(at, values, extends and extends.strip(), problems, findings)


def _missing(layers: Sequence[_Layer]) -> list[Problem]:
    """Return what a profile lacks; the last layer is its own."""
    top = layers[-1]
    if top.findings.spoilt(top.at):
        return []
    hint = "Add a line “{}: …”, or extend a profile that has it."
    return [
        top.problem(key, " is missing", hint.format(key))
        for key in NEEDED
        if not any(key in layer.values for layer in layers)
    ]


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    # An empty mapping is not laid over: it says that nothing of the other one holds.
    both = [key for key in MERGED if key in below and above.get(key)]
    merged = {key: {**below[key], **above[key]} for key in both}
    return {**below, **above, **merged}
