"""Subscriptions: audit, cancelling, alerts, recurring spend, bundles."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from operator import attrgetter
from typing import Annotated

from pydantic import Field

from spritz_cli.catalog.topics.base import (
    DayOfMonth,
    DaysAhead,
    Json,
    Many,
    MonthsPerYear,
    Name,
    Part,
    PositiveMoney,
    TopicParameters,
    require,
    require_distinct,
)
from spritz_cli.catalog.topics.finance import ZERO, percent_of, plain

Prices = Annotated[dict[Name, PositiveMoney], Field(min_length=2, max_length=12)]


class Charge(Part):
    name: Name
    day: DayOfMonth
    amount: PositiveMoney


class SubscriptionAudit(TopicParameters):
    """The money that cancelling some subscriptions frees up, per month and per year."""

    monthly_prices: Prices
    let_go: Many[Name]
    lookback_days: Annotated[int, Field(ge=7, le=365)]
    months_per_year: MonthsPerYear

    def results(self) -> dict[str, Json]:
        self._check()
        total = sum(self.monthly_prices.values(), ZERO)
        cancelled = {name: self.monthly_prices[name] for name in self.let_go}
        cancelled_month = sum(cancelled.values(), ZERO)
        return {
            "count": len(self.monthly_prices),
            "total": plain(total),
            "let_go_count": len(cancelled),
            "let_go_month": plain(cancelled_month),
            "let_go_year_each": {
                name: plain(price * self.months_per_year) for name, price in cancelled.items()
            },
            "let_go_year": plain(cancelled_month * self.months_per_year),
            "keep_count": len(self.monthly_prices) - len(cancelled),
            "keep_month": plain(total - cancelled_month),
        }

    def _check(self) -> None:
        require_distinct(self.let_go, "name in let_go")
        unknown = [name for name in self.let_go if name not in self.monthly_prices]
        require(
            not unknown,
            f"let_go names {', '.join(unknown)}, which monthly_prices does not list "
            f"({', '.join(self.monthly_prices)})",
        )


class CancellationTips(TopicParameters):
    """The usual steps, and the last day to act before a renewal."""

    steps: Many[Name]
    renewal_day: DayOfMonth
    days_ahead: DaysAhead

    def results(self) -> dict[str, Json]:
        return {
            "cancel_by_day": _day_before(self.renewal_day, self.days_ahead, "the renewal"),
            "step_count": len(self.steps),
        }


class BillAlerts(TopicParameters):
    """The charges of one month, and the days of their alerts."""

    charges: Many[Charge]
    days_ahead: DaysAhead
    month_days: Annotated[int, Field(ge=28, le=31)]

    def results(self) -> dict[str, Json]:
        late = [charge.name for charge in self.charges if charge.day > self.month_days]
        require(not late, f"{', '.join(late)}: the month has only {self.month_days} days")
        return {
            "alert_days": [
                _day_before(charge.day, self.days_ahead, charge.name) for charge in self.charges
            ],
            "total": plain(sum(charge.amount for charge in self.charges)),
        }


class RecurringSpendTracking(TopicParameters):
    """Monthly charges plus the monthly share of yearly ones.

    `running_total` adds up the monthly charges in the order of their days.
    """

    monthly: Many[Charge]
    yearly: Annotated[tuple[Charge, ...], Field(max_length=6, strict=False)]
    months_per_year: MonthsPerYear

    def results(self) -> dict[str, Json]:
        monthly = sum((charge.amount for charge in self.monthly), ZERO)
        yearly = sum((charge.amount for charge in self.yearly), ZERO)
        by_day = sorted(self.monthly, key=attrgetter("day"))
        return {
            "monthly_count": len(self.monthly),
            "monthly_sum": plain(monthly),
            "yearly_share": plain(yearly / self.months_per_year),
            "all_in_month": plain(monthly + yearly / self.months_per_year),
            "all_in_year": plain(monthly * self.months_per_year + yearly),
            "running_total": [plain(sum_) for sum_ in accumulate(map(_amount, by_day))],
        }


class SubscriptionConsolidation(TopicParameters):
    """Separate prices, compared with one bundle."""

    separate: Prices
    bundle_price: PositiveMoney
    months_per_year: MonthsPerYear

    def results(self) -> dict[str, Json]:
        total = sum(self.separate.values(), ZERO)
        saved = total - self.bundle_price
        require(
            saved > 0,
            f"the bundle at ${self.bundle_price:,f} is not cheaper than ${total:,f} separately",
        )
        return {
            "separate_total": plain(total),
            "saved_month": plain(saved),
            "saved_year": plain(saved * self.months_per_year),
            "saved_pct": plain(percent_of(saved, total), 1),
        }


def _amount(charge: Charge) -> Decimal:
    return charge.amount


def _day_before(day: int, ahead: int, event: str) -> int:
    require(ahead < day, f"{ahead} days before {event} on day {day} is in the month before")
    return day - ahead


TOPICS: dict[str, type[TopicParameters]] = {
    "subscription_audit": SubscriptionAudit,
    "cancellation_tips": CancellationTips,
    "bill_alerts": BillAlerts,
    "recurring_spend_tracking": RecurringSpendTracking,
    "subscription_consolidation": SubscriptionConsolidation,
}
