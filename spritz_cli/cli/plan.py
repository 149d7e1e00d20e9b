"""`vidgen plan`: what `warm` would do, why, and what it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console, money
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import price
from spritz_cli.models import Spending

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.films.planning import Action, PlanItem
    from spritz_cli.storage.budget import Day

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
    from spritz_cli.bootstrap import open_to_read

    with open_to_read(settings_of(context)) as services:
        items = planned(services, selection(persona, topic), force=force)
        show(services, items, as_json=as_json)


def planned(
    services: Services, wanted: Selection, *, force: bool, spending: Spending = "capped"
) -> Sequence[PlanItem]:
    """Plan the selected templates of the catalog."""
    from spritz_cli.films import planning

    templates = services.catalog.select(wanted.persona, wanted.topic)
    return planning.plan(services.studio, templates, force=force, spending=spending).items


def show(services: Services, items: Sequence[PlanItem], *, as_json: bool) -> None:
    """Write a plan, ending with its totals and with what footage costs."""
    day = money.today(services)
    counts = Counter(item.action for item in items)
    if as_json:
        return console.document(_documents(items, counts, day))
    console.table(COLUMNS, [row for item in items for row in _rows(item)])
    console.out(
        f"Plan: {counts['make']} to make, {counts['renew']} to renew, "
        f"{counts['keep']} up to date. {money.totals(items)}"
    )
    money.show_line(items, day)
    money.warn_of_retirement(services)


def _documents(
    items: Sequence[PlanItem], counts: Mapping[Action, int], day: Day | None
) -> dict[str, Any]:
    prices = {
        "cost_usd": sum(item.cost_micros for item in items) / 1_000_000,
        "owed_usd": sum(item.owed_micros for item in items) / 1_000_000,
    }
    return {
        "items": [_document(item) for item in items],
        "totals": {**{name: counts[name] for name in ("make", "renew", "keep")}, **prices},
        "budget": money.budget_document(day),
    }


def _rows(item: PlanItem) -> list[list[str | Cell]]:
    sign = _sign(item)
    first: list[str | Cell] = [
        Cell(sign, STYLES.get(sign, "dim")),
        item.template.name,
        _reason(item),
        item.tier,
        price(item.cost_micros),
    ]
    lines = filter(None, [*item.differences[1:], money.obstacle(item)])
    more: list[list[str | Cell]] = [["", "", line, "", ""] for line in lines]
    return [first, *more]


def _reason(item: PlanItem) -> str:
    reason = ": ".join([item.reason, *item.differences[:1]])
    return f"{reason}; footage waits for the budget" if item.owed_micros else reason


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
        "owed_usd": item.owed_micros / 1_000_000,
        "obstacle": item.obstacle.message if item.obstacle else None,
        "video": asdict(item.video) if item.video else None,
    }
