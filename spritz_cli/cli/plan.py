"""`vidgen plan`: what `warm` would do, why, and what it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Production
    from spritz_cli.planning import PlanItem

COLUMNS = (
    Column(""),
    Column("FILM"),
    Column("REASON"),
    Column("TIER", optional=True),
    Column("PRICE", right=True, optional=True),
)

STYLES = {"+": "green", "~": "yellow", "↻": "cyan"}


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 planned, 2 usage or invalid catalog, 3 infrastructure.",
    )(plan)


def plan(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    force: Annotated[bool, typer.Option("--force", help="As if nothing were made yet.")] = False,
    as_json: Json = False,
) -> None:
    """Show what warm would do and why, film by film. Makes nothing.

    Example: vidgen plan high_utilization
    """
    from spritz_cli.bootstrap import open_production

    with open_production(settings_of(context)) as production:
        items = planned(production, selection(persona, topic), force=force)
    show(items, as_json=as_json)


def planned(production: Production, wanted: Selection, *, force: bool) -> Sequence[PlanItem]:
    """Plan the selected templates of the catalog."""
    from spritz_cli import planning

    return planning.plan(
        production.catalog.select(wanted.persona, wanted.topic),
        store=production.store,
        manifest=production.manifest,
        tiers=production.tiers,
        force=force,
    ).items


def show(items: Sequence[PlanItem], *, as_json: bool) -> None:
    """Write a plan, ending with its totals."""
    counts = Counter(item.action for item in items)
    cost = sum(item.cost_usd for item in items)
    if as_json:
        totals = {name: counts[name] for name in ("make", "renew", "keep")}
        documents = [_document(item) for item in items]
        return console.document({"items": documents, "totals": {**totals, "cost_usd": cost}})
    console.table(COLUMNS, [row for item in items for row in _rows(item)])
    console.out(
        f"Plan: {counts['make']} to make, {counts['renew']} to renew, "
        f"{counts['keep']} up to date. Costs ${cost:.2f}."
    )


def _rows(item: PlanItem) -> list[list[str | Cell]]:
    sign = _sign(item)
    first: list[str | Cell] = [
        Cell(sign, STYLES.get(sign, "dim")),
        item.template.name,
        _reason(item),
        item.tier,
        f"${item.cost_usd:.2f}",
    ]
    more: list[list[str | Cell]] = [["", "", line, "", ""] for line in item.differences[1:]]
    return [first, *more]


def _reason(item: PlanItem) -> str:
    return ": ".join([item.reason, *item.differences[:1]])


def _sign(item: PlanItem) -> str:
    if item.action == "make":
        return "~" if item.video and item.video.url else "+"
    return "↻" if item.action == "renew" else "="


def _document(item: PlanItem) -> dict[str, Any]:
    return {
        "name": item.template.name,
        "persona": item.template.persona,
        "topic": item.template.topic,
        "action": item.action,
        "reason": item.reason,
        "differences": list(item.differences),
        "tier": item.tier,
        "cost_usd": item.cost_usd,
        "video": asdict(item.video) if item.video else None,
    }
