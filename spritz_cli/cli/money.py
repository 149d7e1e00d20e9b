"""What footage costs: the line where today's budget ends, and the receipt of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.documents import cost_usd
from spritz_cli.cli.units import price, span, usd
from spritz_cli.models import FREE, NEVER, MicroUSD, Obstacle, Outcome, Video, add_up, micros

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.films.planning import PlanItem
    from spritz_cli.storage.budget import Day

LINE = (
    Column("FOOTAGE, MOST VALUABLE FIRST"),
    Column("PRIORITY", right=True, optional=True),
    Column("PRICE", right=True),
    Column("SUM", right=True),
)


def today(services: Services) -> Day | None:
    """Return today's budget; None if no provider is configured."""
    return services.budget.today() if services.profile else None


def warn_of_retirement(services: Services) -> None:
    """Say so if the provider or its model has been shut down."""
    profile = services.profile
    if profile and profile.is_retired(datetime.now(UTC).date(), profile.model):
        console.note(
            f"{profile.model} of {profile.name} has been shut down by its provider; "
            "set VIDGEN_PROVIDER, VIDGEN_MODEL or VIDGEN_BASE_URL to what serves footage now."
        )


def begin(services: Services, items: Iterable[PlanItem]) -> None:
    """Give the provider a new chance: whatever was wrong may have been repaired since."""
    if services.provider and any(item.cost_micros for item in items):
        warn_of_retirement(services)
        services.provider.circuit.close()


def show_line(items: Sequence[PlanItem], day: Day | None) -> None:
    """Write what footage would cost, in order of purchase, with a line where the budget ends."""
    bought, owed = _in_order(items)
    if day is None or not (bought or owed):
        return
    console.out()
    total = FREE
    rows: list[list[str | Cell]] = []
    for item in (*bought, *owed):
        if owed and item is owed[0]:
            rows.append([Cell(f"── {_end(day)} ──", "yellow"), "", "", ""])
        cost = item.cost_micros or item.owed_micros
        total = add_up([total, cost])
        style = "dim" if item.owed_micros else ""
        name = Cell(item.template.name, style)
        rows.append([name, str(item.template.priority), price(cost), Cell(price(total), style)])
    console.table(LINE, rows)


def totals(items: Sequence[PlanItem]) -> str:
    """Say in a sentence what a plan costs."""
    cost = add_up(item.cost_micros for item in items)
    owed = add_up(item.owed_micros for item in items)
    later = f"; footage for {price(owed)} waits for another day's budget" if owed else ""
    return f"Costs {price(cost)}{later}."


def obstacle(item: PlanItem) -> str:
    """Say why a film has no generated footage, and when it is tried again."""
    return f"footage {next_try(item.obstacle)}" if item.obstacle else ""


def next_try(obstacle: Obstacle) -> str:
    """Say when the provider is asked again, and what went wrong."""
    reason = obstacle.message or obstacle.reason
    if obstacle.until >= NEVER:
        return f"not to be had: {reason}"
    wait = obstacle.until - time.time()
    return f"{f'tried again in {span(wait)}' if wait > 0 else 'due'}: {reason}"


def budget_fields(day: Day) -> dict[str, Any]:
    """Return a day's budget in US dollars; without a cap, `cap_usd` and `left_usd` are None."""
    return {
        "date": day.date,
        "cap_usd": usd(day.cap_micros),
        "spent_usd": usd(day.spent),
        "held_usd": usd(day.held),
        "left_usd": usd(day.left),
    }


class Receipt(NamedTuple):
    """What a run cost and what it did not, in micro-dollars.

    `cached`: footage of films that were current. `redrawn`: footage that was
    there already below a new drawing. `prevented`: what the daily cap put off.
    """

    spent: MicroUSD
    cached: MicroUSD
    redrawn: MicroUSD
    prevented: MicroUSD

    def document(self) -> dict[str, float | None]:
        return {
            "spent_usd": usd(self.spent),
            "saved_by_cache_usd": usd(self.cached),
            "saved_by_redrawing_usd": usd(self.redrawn),
            "prevented_by_cap_usd": usd(self.prevented),
        }

    def __str__(self) -> str:
        amounts = {
            "spent": self.spent,
            "saved by the cache": self.cached,
            "saved by free redrawing": self.redrawn,
            "put off by the daily cap": self.prevented,
        }
        parts = [f"{price(amount)} {what}" for what, amount in amounts.items() if amount]
        return f"Footage: {', '.join(parts) or 'nothing spent'}."


def receipt(
    services: Services,
    items: Sequence[PlanItem],
    outcomes: Iterable[Outcome],
    began: float,
) -> Receipt | None:
    """Add up what a run that began at an epoch second cost; None if footage plays no part."""
    paid = _paid_since(services, items, began)
    results = {outcome.name: outcome for outcome in outcomes}
    cached, redrawn, prevented = list[MicroUSD](), list[MicroUSD](), list[MicroUSD]()
    for item in items:
        outcome = results.get(item.template.name)
        video = outcome.video if outcome else item.video
        cost = _cost(video) if video and video.fallback_used == "sora" else FREE
        if outcome is not None and outcome.status == "made":
            redrawn.append(MicroUSD(max(0, cost - paid.get(item.template.name, 0))))
            put_off = video is not None and video.fallback_reason == "budget"
            prevented.append(item.owed_micros or (item.cost_micros if put_off else FREE))
        else:
            cached.append(cost)
            prevented.append(item.owed_micros)
    total = Receipt(add_up(paid.values()), *map(add_up, (cached, redrawn, prevented)))
    return total if services.profile or any(total) else None


def _paid_since(services: Services, items: Iterable[PlanItem], began: float) -> dict[str, MicroUSD]:
    from spritz_cli.storage.footage import CHARGED

    return {
        item.template.name: add_up(
            order.cost_micros
            for order in services.footage.orders(item.template)
            if order.state in CHARGED and (order.sent_at or 0.0) >= began
        )
        for item in items
    }


def _in_order(items: Iterable[PlanItem]) -> tuple[list[PlanItem], list[PlanItem]]:
    from spritz_cli.films.planning import most_valuable_first

    ordered = most_valuable_first(items)
    return [item for item in ordered if item.cost_micros], [
        item for item in ordered if item.owed_micros
    ]


def _end(day: Day) -> str:
    left, cap = price(day.left or FREE), price(day.cap_micros or FREE)
    return f"today's budget ends here: {left} of {cap} left"


def _cost(video: Video) -> MicroUSD:
    return micros(cost_usd(video))
