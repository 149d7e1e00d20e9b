"""`vidgen budget`: what generated footage has cost, and what it may cost today."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console, money
from spritz_cli.cli.console import Column
from spritz_cli.cli.documents import name_fields
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted, span, usd
from spritz_cli.models import MicroUSD, add_up, dollars

if TYPE_CHECKING:
    from spritz_cli.storage.budget import Charge, DailyBudget, Day

#: Older days have expired.
MOST_DAYS = 40

AMOUNTS = (
    Column("ORDERS", right=True, optional=True),
    Column("SPENT", right=True),
    Column("HELD", right=True),
)


def register(app: typer.Typer) -> None:
    app.command(cls=QuickCommand, epilog="Exit codes: 0 done, 2 usage, 3 infrastructure.")(budget)


def budget(
    context: typer.Context,
    days: Annotated[
        int, typer.Option(min=1, max=MOST_DAYS, metavar="N", help="Look back on N days.")
    ] = 7,
    as_json: Json = False,
) -> None:
    """Show what generated footage cost, and what is left today.

    Example: vidgen budget --days 30
    """
    from spritz_cli.bootstrap import open_services

    with open_services(settings_of(context)) as services:
        spending = spending_of(services.budget, days)
    if as_json:
        console.document("budget", spending.document())
    elif spending.days:
        _show(spending)
    else:
        console.out(_nothing(days, spending.today))


@dataclass(frozen=True)
class Spending:
    """Today, the days with any cost (newest first), and how long until the next one begins."""

    today: Day
    days: Sequence[Day]
    seconds_to_reset: float

    def document(self) -> dict[str, Any]:
        """Return amounts in US dollars, exact to the micro-dollar."""
        today = self.today
        reset = date.fromisoformat(today.date) + timedelta(days=1)
        return {
            **money.budget_fields(today),
            "resets_at": f"{reset.isoformat()}T00:00:00+00:00",
            "resets_in_seconds": round(self.seconds_to_reset),
            "films": [
                {**_name(name), **sums.document()} for name, sums in _by_template(today.charges)
            ],
            "days": [{"date": day.date, **Sums.of(day.charges).document()} for day in self.days],
        }


@dataclass(frozen=True)
class Sums:
    """The number of orders, and their sums in micro-dollars."""

    orders: int
    spent: MicroUSD
    held: MicroUSD

    @classmethod
    def of(cls, charges: Iterable[Charge]) -> Sums:
        charges = list(charges)
        spent = [charge.cost_micros for charge in charges if charge.state == "spent"]
        held = [charge.cost_micros for charge in charges if charge.state == "held"]
        return cls(len(charges), add_up(spent), add_up(held))

    def row(self) -> list[str]:
        return [str(self.orders), f"${dollars(self.spent)}", f"${dollars(self.held)}"]

    def document(self) -> dict[str, Any]:
        return {
            "orders": self.orders,
            "spent_usd": usd(self.spent),
            "held_usd": usd(self.held),
        }


def spending_of(budget: DailyBudget, days: int) -> Spending:
    """Look up the last `days` days."""
    past = budget.days(days)
    today = budget.today()
    return Spending(today, past, budget.seconds_to_reset())


def _show(spending: Spending) -> None:
    today = spending.today
    console.out(f"Today, {today.date} (UTC)")
    for name, text in _lines(today):
        console.out(f"  {name.ljust(5)}  {text}".rstrip())
    console.out(f"A new day begins at 00:00 UTC, in {span(spending.seconds_to_reset)}.")
    if today.charges:
        console.out()
        rows = [[name or "(unknown)", *sums.row()] for name, sums in _by_template(today.charges)]
        console.table([Column("TEMPLATE"), *AMOUNTS], rows)
    console.out()
    past = [[day.date, *Sums.of(day.charges).row()] for day in spending.days]
    console.table([Column("DAY"), *AMOUNTS], past)


def _lines(today: Day) -> list[tuple[str, str]]:
    waiting = "  not known for certain yet, counts as spent" if today.held else ""
    return [
        ("cap", "none" if today.cap_micros is None else f"${dollars(today.cap_micros)}"),
        ("spent", f"${dollars(today.spent)}"),
        ("held", f"${dollars(today.held)}{waiting}"),
        ("left", "no limit" if today.left is None else f"${dollars(today.left)}"),
    ]


def _nothing(days: int, today: Day) -> str:
    when = "today" if days == 1 else f"in the last {counted(days, 'day')}"
    cap = today.cap_micros
    limit = "there is no cap" if cap is None else f"a day may cost ${dollars(cap)}"
    return f"Nothing was spent on generated footage {when}; {limit}."


def _by_template(charges: Iterable[Charge]) -> list[tuple[str, Sums]]:
    charges = list(charges)
    names = sorted({charge.template for charge in charges})
    return [
        (name, Sums.of(charge for charge in charges if charge.template == name)) for name in names
    ]


def _name(name: str) -> dict[str, str | None]:
    """Return the names of a film; None for orders of which only the cost is known."""
    persona, _, topic = name.partition("/")
    return {**name_fields(persona, topic)} if name else dict.fromkeys(("name", "persona", "topic"))
