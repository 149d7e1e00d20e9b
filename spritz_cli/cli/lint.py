"""`vidgen lint`: read the catalog as a careful editor would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Column
from spritz_cli.cli.options import Json, Persona, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.words import counted

if TYPE_CHECKING:
    from spritz_cli.cli.findings import Finding

COLUMNS = (
    Column("FILM"),
    Column("WHERE"),
    Column("RULE", optional=True),
    Column("FINDING"),
    Column("WHAT TO DO"),
)


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 nothing found, 1 findings, 2 usage or invalid catalog, "
        "3 infrastructure.",
    )(lint)


def lint(
    context: typer.Context, persona: Persona = None, topic: Topic = None, as_json: Json = False
) -> None:
    """Check the schema, words and numbers of the catalog.

    Example: vidgen lint savings_builder
    """
    from spritz_cli.catalog import load_catalog
    from spritz_cli.cli.findings import findings

    settings = settings_of(context)
    wanted = selection(persona, topic)
    catalog = load_catalog(settings.catalog, settings.scenes)
    templates = catalog.select(wanted.persona, wanted.topic)
    found = [finding for template in templates for finding in findings(template)]
    if as_json:
        console.document(
            {"checked": len(templates), "findings": [asdict(finding) for finding in found]}
        )
    else:
        _show(found, len(templates))
    if found:
        raise typer.Exit(1)


def _show(found: Sequence[Finding], checked: int) -> None:
    if found:
        rows = [(item.name, item.where, item.rule, item.message, item.hint) for item in found]
        console.table(COLUMNS, rows)
    console.out(f"{counted(checked, 'film')} checked, {counted(len(found), 'finding')}.")
