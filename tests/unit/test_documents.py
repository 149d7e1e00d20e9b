"""The documents name what exists, and all that exists; their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from packaging.requirements import Requirement

from spritz_cli import errors
from spritz_cli.catalog.loader import load_catalog
from spritz_cli.catalog.profile_schema import ProfileEntry
from spritz_cli.cli.app import COMMANDS, PIPE_CLOSED, app
from spritz_cli.models import OutcomeStatus, Tier, Video
from spritz_cli.settings import PACKAGE, VARIABLES
from spritz_cli.storage.footage import OrderState
from tests.reference import (
    DOCUMENTS,
    ROOT,
    anchors,
    blocks,
    code_lines,
    first_column,
    generated,
    json_documents,
    section,
    spans,
    text,
)

REFERENCE = text("docs/reference.md")

in_every_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


# Commands and flags


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """The flags of each command, with those of vidgen itself."""
    group: Any = typer.main.get_command(app)
    of_all = {"--help", *_flags_of(group)}
    return {name: _flags_of(group.commands[name]) | of_all for name in COMMANDS}


def _flags_of(command: Any) -> set[str]:
    return {flag for param in command.params for flag in param.opts}


@in_every_document
def test_every_call_that_a_document_shows_can_be_made(path: Path, flags) -> None:
    for line in code_lines(text(path)):
        for command, rest in re.findall(r"(?<![\w-])vidgen ([a-z_]+)([^|&;]*)", line):
            if command == "help":
                continue
            assert command in COMMANDS, line
            assert set(re.findall(r" (--?[a-z][a-z-]*)", rest)) <= flags[command], line


@in_every_document
def test_every_flag_that_a_document_names_exists(path: Path, flags) -> None:
    named = {span.partition(" ")[0] for span in spans(text(path)) if re.match(r"--?[a-zA-Z]", span)}
    known = set.union(*flags.values())

    # Repeated, a short one says more of the same.
    assert {re.sub(r"^-(\w)\1$", r"-\1", flag) for flag in named} <= known


def test_the_readme_names_every_command() -> None:
    table = section(text("README.md"), "## Commands")

    assert first_column(table) == {f"vidgen {name}" for name in COMMANDS}


def test_the_generated_parts_of_the_reference_are_up_to_date() -> None:
    assert generated(REFERENCE) == REFERENCE, "run: python -m tests.reference"


def test_the_fields_of_a_schema_become_a_table(tmp_path: Path) -> None:
    (tmp_path / "common.json").write_text(
        """{"$defs": {
        "tier": {"enum": ["sora", "static"], "description": "What it is made of."},
        "day": {"type": "object", "description": "A day.", "properties": {
            "spent": {"type": ["number", "null"], "description": "US dollars."}
        }}}}"""
    )
    (tmp_path / "plan.json").write_text(
        """{"description": "What warm would do.", "properties": {
        "schema": {"const": "vidgen/plan/1", "description": "Its name."},
        "films": {"type": "array", "description": "One a template.", "items": {"type": "object",
            "properties": {"tier": {"$ref": "urn:common#/$defs/tier"}}}},
        "today": {"description": "Or none.", "anyOf": [
            {"$ref": "urn:common#/$defs/day"}, {"type": "null"}]}
        }}"""
    )

    assert [line for line in json_documents(tmp_path).splitlines() if line] == [
        "### plan",
        "What warm would do.",
        "| field | type | meaning |",
        "|---|---|---|",
        '| `schema` | `"vidgen/plan/1"` | Its name. |',
        "| `films` | list of object | One a template. |",
        '| `films[].tier` | `"sora"`, `"static"` | What it is made of. |',
        "| `today` | [day](#part-day) or null | Or none. |",
        "### Part: day",
        "A day.",
        "| field | type | meaning |",
        "|---|---|---|",
        "| `spent` | number or null | US dollars. |",
    ]


# Settings, exit codes, fields


def test_the_reference_names_every_setting() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \[`(\w+)`\]", REFERENCE, re.MULTILINE)

    assert dict(rows) == {variable: name for name, variable in VARIABLES.items()}


@in_every_document
def test_every_variable_that_a_document_names_exists(path: Path) -> None:
    named = set(re.findall(r"\bVIDGEN_[A-Z_]+\b", text(path)))

    assert named <= {*VARIABLES.values(), "VIDGEN_API_KEY"}


def exit_codes() -> set[str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = {kind.exit_code for kind in kinds if issubclass(kind, errors.VidgenError)}
    return {str(code) for code in {0, *own, PIPE_CLOSED}}


def test_the_reference_names_every_exit_code() -> None:
    table = section(REFERENCE, "## Exit codes")

    assert set(re.findall(r"^\| (\d+) \|", table, re.MULTILINE)) == exit_codes()


@in_every_document
def test_every_exit_code_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(r"\bexit(?: code)?(?: is)? (\d+)", text(path), re.IGNORECASE)

    assert set(named) <= exit_codes()


def test_the_reference_names_every_field_of_the_manifest() -> None:
    table = section(REFERENCE, "## The manifest")

    assert first_column(table) == set(Video.__dataclass_fields__)


@pytest.mark.parametrize("name", ["README.md", "docs/integrating.md"])
def test_an_example_reads_fields_of_the_manifest_only(name: str) -> None:
    named = re.findall(r"\bvideo\.(\w+)", "\n".join(blocks(text(name))))

    assert named
    assert set(named) <= set(Video.__dataclass_fields__)


def test_the_footage_guide_names_every_state_of_an_order_and_key_of_a_profile() -> None:
    guide = text("docs/footage.md")

    assert first_column(section(guide, "## The life of an order")) == set(get_args(OrderState))
    assert first_column(section(guide, "## Providers")) == {*ProfileEntry.model_fields}


def test_the_glossary_has_the_words_of_results_and_tiers() -> None:
    glossary = text("docs/glossary.md")

    for word in (*get_args(OutcomeStatus), *get_args(Tier)):
        assert re.search(rf"[*`]{word}[*`]", glossary), word


def test_the_reference_gives_every_dependency_its_reason() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", section(REFERENCE, "## Dependencies"), re.MULTILINE)
    explained = set(re.findall(r"[a-z0-9-]+", " ".join(rows)))

    for name in ("pyproject.toml", "reader/pyproject.toml"):
        project = tomllib.loads(text(name))["project"]
        extras = {**project["optional-dependencies"], "dev": []}
        needed = {Requirement(one).name for one in chain(project["dependencies"], *extras.values())}
        assert needed - {"spritz-vidgen-reader"} <= explained


# Files, targets, links


@in_every_document
def test_every_make_target_that_a_document_names_exists(path: Path) -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text("Makefile"), re.MULTILINE)
    calls = re.findall(
        r"^make (?:[A-Z]+=\S+ )*([a-z][a-z0-9-]*)", "\n".join(code_lines(text(path))), re.MULTILINE
    )

    assert set(calls) <= set(phony.split())


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_a_document_names_exists(name: str) -> None:
    named = [span for span in spans(text(name)) if re.fullmatch(r"[\w./-]*(/|\.\w{2,4})", span)]

    assert named
    for span in named:
        # A module may be named without its package.
        assert (ROOT / span).exists() or [*PACKAGE.rglob(span.rstrip("/"))], span


def test_architecture_draws_every_module_and_no_other() -> None:
    there: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        there.setdefault(str(path.parent.relative_to(PACKAGE)), set()).add(path.name)

    assert drawn() == {folder: names - {"__init__.py"} for folder, names in there.items()}


def test_architecture_gives_the_direction_of_imports() -> None:
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (direction,) = re.findall(r"^Direction: `(.*?)`", text("docs/architecture.md"), re.M | re.S)

    assert [" ".join(direction.split()).split(" > ")] == [
        each["layers"] for each in contracts if each["type"] == "layers"
    ]


def drawn() -> dict[str, set[str]]:
    """Return the modules of each package as architecture.md draws them."""
    (drawing,) = blocks(text("docs/architecture.md"), "text")
    parts = re.split(r"^  (\S+/)", drawing, flags=re.MULTILINE)[1:]
    return {
        str(Path(name)): set(re.findall(r"\b\w+\.py\b", words)) - {"__init__.py"}
        for name, words in zip(parts[::2], parts[1::2], strict=True)
    }


@in_every_document
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s:]+)\)", text(path)):
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(text(file)), target


# Examples and lengths


@in_every_document
def test_what_an_example_imports_exists(path: Path) -> None:
    for module, names in re.findall(
        r"^from (\w+) import (.+)$", "\n".join(blocks(text(path), "python")), re.MULTILINE
    ):
        for name in names.split(", "):
            assert hasattr(import_module(module), name), name


def test_the_smallest_entry_of_the_editing_guide_is_a_valid_film(tmp_path: Path) -> None:
    (entry,) = blocks(text("docs/editing-films.md"), "yaml")
    (template,) = yaml.safe_load(entry)
    listed = f"{template['persona']}: {{accent: green, topics: [{template['topic']}]}}"
    path = tmp_path / "templates.yaml"
    path.write_text(f"version: 1\npersonas: {{{listed}}}\ntemplates:\n{entry}", "utf-8")

    assert len(load_catalog(path).templates) == 1


@pytest.mark.parametrize(
    ("name", "words", "lines"),
    [("README.md", 900, 120), ("CONTRIBUTING.md", 700, 70), ("docs/architecture.md", 1_100, 150)],
)
def test_what_everybody_reads_first_stays_short(name: str, words: int, lines: int) -> None:
    assert len(text(name).split()) <= words
    assert len(text(name).splitlines()) <= lines
