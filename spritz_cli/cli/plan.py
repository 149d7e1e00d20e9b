"""`vidgen plan`: what `warm` would do, why, and what it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console, money
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.documents import obstacle_fields, seen_by_application
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import price, usd
from spritz_cli.models import Spending, add_up

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

#: The exit code of --exit-code, as of `terraform plan -detailed-exitcode`.
WORK_TO_DO = 2

STYLES = {"+": "green", "~": "yellow", "↻": "cyan"}


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 planned, 2 usage or invalid catalog, 3 infrastructure. "
        "With --exit-code: 0 nothing to do, 2 a film is to be made or renewed (or usage or "
        "invalid catalog, as the error says).",
    )(plan)


def plan(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    force: Annotated[
        bool, typer.Option("--force", help="Plan as if nothing were made yet.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 2 if there is anything to do.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what warm would do and why, film by film. Makes nothing.

    Example: vidgen plan high_utilization
    """
    from spritz_cli.bootstrap import open_to_read

    with open_to_read(settings_of(context)) as services:
        items = planned(services, selection(persona, topic), force=force)
        show(services, items, as_json=as_json)
    if exit_code and any(item.action != "keep" for item in items):
        raise typer.Exit(WORK_TO_DO)


def planned(
    services: Services, wanted: Selection, *, force: bool, spending: Spending = "capped"
) -> Sequence[PlanItem]:
    """Plan the selected templates of the catalog."""
    from spritz_cli.films import planning

    templates = services.catalog.select(wanted.persona, wanted.topic)
    return planning.plan(services.studio, templates, force=force, spending=spending)


def show(services: Services, items: Sequence[PlanItem], *, as_json: bool) -> None:
    """Write a plan, ending with its totals and with what footage costs."""
    day = money.today(services)
    counts = Counter(item.action for item in items)
    if as_json:
        return console.document("plan", _document(services, items, counts, day))
    console.table(COLUMNS, [row for item in items for row in _rows(item)])
    console.out(
        f"Plan: {counts['make']} to make, {counts['renew']} to renew, "
        f"{counts['keep']} up to date. {money.totals(items)}"
    )
    money.show_line(items, day)
    money.warn_of_retirement(services)


def _document(
    services: Services, items: Sequence[PlanItem], counts: Mapping[Action, int], day: Day | None
) -> dict[str, Any]:
    # The plan has looked at the files of what it keeps or renews.
    intact = {item.template.key for item in items if item.action != "make"}
    seen = seen_by_application(services, [item.template for item in items], intact)
    prices = {
        "cost_usd": usd(add_up(item.cost_micros for item in items)),
        "owed_usd": usd(add_up(item.owed_micros for item in items)),
    }
    return {
        "films": [{**seen[item.template.key], **_fields(item)} for item in items],
        "totals": {
            "films": len(items),
            **{action: counts[action] for action in ("make", "renew", "keep")},
            **prices,
        },
        "budget": money.budget_fields(day) if day else None,
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


def _fields(item: PlanItem) -> dict[str, Any]:
    return {
        "action": item.action,
        "reason": item.reason,
        "differences": list(item.differences),
        "tier": item.tier,
        "cost_usd": usd(item.cost_micros),
        "owed_usd": usd(item.owed_micros),
        "obstacle": obstacle_fields(item.obstacle) if item.obstacle else None,
    }
