"""`vidgen lint`: check words and frames as a careful editor would."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.documents import name_fields
from spritz_cli.cli.options import Json, Persona, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted

if TYPE_CHECKING:
    from spritz_cli.lint.finding import Finding
    from spritz_cli.models import Template
    from spritz_cli.settings import Settings

COLUMNS = (
    Column("FILM"),
    Column("WHERE"),
    Column("ELEMENT", below=True),
    Column("RULE", optional=True),
    Column("FINDING", below=True),
    Column("WHAT TO DO", below=True),
)


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 nothing found, 1 findings, 2 usage or invalid catalog, "
        "3 infrastructure.",
    )(lint)


def lint(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    words: Annotated[
        bool, typer.Option("--words", help="Check the words only: draws nothing, takes a second.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the words, numbers and frames of every film.

    Example: vidgen lint savings_builder
    """
    from spritz_cli.catalog.loader import load_catalog

    settings = settings_of(context)
    wanted = selection(persona, topic)
    catalog = load_catalog(settings.catalog, settings.scenes)
    templates = catalog.select(wanted.persona, wanted.topic)
    findings = _findings(templates, settings, words_only=words)
    if as_json:
        console.document("lint", _document(templates, findings))
    else:
        _show(findings, len(templates))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _document(templates: Sequence[Template], findings: Sequence[Finding]) -> dict[str, Any]:
    levels = Counter(finding.level for finding in findings)
    return {
        "films": [
            {
                **name_fields(template.persona, template.topic),
                "findings": [_fields(item) for item in findings if item.name == template.name],
            }
            for template in templates
        ],
        "totals": {"films": len(templates), "errors": levels["error"], "soon": levels["soon"]},
    }


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "level": finding.level,
        "message": finding.message,
        "hint": finding.mend,
        "where": finding.where or None,
        "second": finding.second,
        "element": finding.element or None,
    }


def _findings(
    templates: Sequence[Template], settings: Settings, *, words_only: bool
) -> list[Finding]:
    from spritz_cli.lint.film import word_faults
    from spritz_cli.lint.finding import finding_of
    from spritz_cli.lint.run import findings_of_all

    today = datetime.now(UTC).date()
    if words_only:
        faults = ((item.name, fault) for item in templates for fault in word_faults(item, today))
        return [finding_of(name, fault) for name, fault in faults]
    if console.interactive(sys.stderr):
        console.note(f"Drawing {counted(len(templates), 'film')} frame by frame …")
    return [*chain.from_iterable(findings_of_all(templates, settings.scenes, today))]


def _show(findings: Sequence[Finding], checked: int) -> None:
    if findings:
        console.table(COLUMNS, [_row(item) for item in findings])
    later = sum(item.level == "soon" for item in findings)
    soon = f", {later} due soon" if later else ""
    summary = (
        f"{counted(checked, 'film')} checked, {counted(len(findings) - later, 'finding')}{soon}."
    )
    console.out(summary)


def _row(item: Finding) -> tuple[str | Cell, ...]:
    where = item.where or ("" if item.second is None else f"{item.second:.1f} s")
    message = Cell(f"soon: {item.message}", "yellow") if item.level == "soon" else item.message
    return item.name, where, item.element, item.rule, message, item.mend
