"""Income that varies: budgets in percents, emergency fund, smoothing, cash buffer."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Annotated

from pydantic import Field

from spritz_cli.catalog.topics import finance
from spritz_cli.catalog.topics.base import (
    Change,
    Json,
    Many,
    Money,
    Months,
    Name,
    Part,
    PositiveMoney,
    PositivePercent,
    TopicParameters,
    require,
    require_ascending,
    require_whole,
)
from spritz_cli.catalog.topics.finance import ZERO, part, plain


class Income(Part):
    month: Name
    amount: PositiveMoney


class VariableIncomeBudgeting(TopicParameters):
    """The same percentages of each month's take-home pay, and a check of the leanest month.

    `four_month_total` and `four_month_saved` are sums over all the months listed.
    """

    take_home: Many[Income]
    needs_pct: PositivePercent
    wants_pct: PositivePercent
    save_pct: PositivePercent
    bare_bones_needs: Money

    def results(self) -> dict[str, Json]:
        require_whole((self.needs_pct, self.wants_pct, self.save_pct), _THREE_SHARES)
        amounts = [income.amount for income in self.take_home]
        return {
            "needs": _slices(amounts, self.needs_pct),
            "wants": _slices(amounts, self.wants_pct),
            "save": _slices(amounts, self.save_pct),
            "lowest": plain(min(amounts)),
            "lowest_needs": plain(part(min(amounts), self.needs_pct)),
            "four_month_total": plain(sum(amounts)),
            "four_month_saved": plain(part(sum(amounts, ZERO), self.save_pct)),
        }


class EmergencyFundBasics(TopicParameters):
    """How long steady deposits take to reach each goal, without interest."""

    essentials_per_month: PositiveMoney
    deposit_per_month: PositiveMoney
    first_goal: PositiveMoney
    guide_low_months: Months
    guide_high_months: Months
    surprise: PositiveMoney

    def results(self) -> dict[str, Json]:
        low = self.essentials_per_month * self.guide_low_months
        high = self.essentials_per_month * self.guide_high_months
        require_ascending((self.first_goal, low, high), "the first goal and the two guide amounts")
        require(self.surprise <= low, f"a surprise of ${self.surprise:,f} empties ${low:,f}")
        return {
            "low_target": plain(low),
            "high_target": plain(high),
            "months_to_first_goal": self._months_to(self.first_goal),
            "months_to_low": self._months_to(low),
            "months_to_high": self._months_to(high),
            "after_surprise": plain(low - self.surprise),
            "months_to_refill": self._months_to(self.surprise),
        }

    def _months_to(self, amount: Decimal) -> int:
        return finance.periods(amount, self.deposit_per_month)


class PercentBasedBudgets(TopicParameters):
    """Paychecks of different sizes, split by the same percentages."""

    paychecks: Annotated[tuple[PositiveMoney, ...], Field(min_length=2, max_length=2, strict=False)]
    needs_pct: PositivePercent
    wants_pct: PositivePercent
    save_pct: PositivePercent
    whole_pct: Annotated[int, Field(ge=100, le=100)]

    def results(self) -> dict[str, Json]:
        percents = (self.needs_pct, self.wants_pct, self.save_pct)
        require_whole(percents, _THREE_SHARES)
        require_ascending(self.paychecks, "paychecks")
        small, large = self.paychecks
        return {
            "splits": [self._split(paycheck) for paycheck in self.paychecks],
            "radius_ratio": plain((large / small).sqrt(), 4),
            "slice_degrees": [plain(part(Decimal(360), percent)) for percent in percents],
        }

    def _split(self, paycheck: Decimal) -> dict[str, Json]:
        return {
            "paycheck": plain(paycheck),
            "needs": plain(part(paycheck, self.needs_pct)),
            "wants": plain(part(paycheck, self.wants_pct)),
            "save": plain(part(paycheck, self.save_pct)),
        }


class IncomeSmoothing(TopicParameters):
    """Uneven deposits into one tank, and the same paycheck out of it every month.

    `buffer_needed_worst_order` is the buffer that the tank would need at the start if the
    lean months came first. `left_after_6_months` is the level after the last month.
    """

    deposits: Many[Money]
    starting_buffer: Money
    virtual_paycheck: PositiveMoney
    months_shown: Months

    def results(self) -> dict[str, Json]:
        after = self._levels(self.deposits)
        before = [level + self.virtual_paycheck for level in after]
        average = sum(self.deposits, ZERO) / len(self.deposits)
        self._check(after, average)
        worst = min(self._levels(sorted(self.deposits))) - self.starting_buffer
        return {
            "total": plain(sum(self.deposits)),
            "average": plain(average),
            "lowest": plain(min(self.deposits)),
            "highest": plain(max(self.deposits)),
            "tank_before_paycheck": [plain(level) for level in before],
            "tank_after_paycheck": [plain(level) for level in after],
            "left_after_6_months": plain(after[-1]),
            "lowest_level": plain(min(after)),
            "buffer_needed_worst_order": plain(max(ZERO, -worst)),
        }

    def _levels(self, deposits: Sequence[Decimal]) -> list[Decimal]:
        changes = [deposit - self.virtual_paycheck for deposit in deposits]
        return list(accumulate(changes, initial=self.starting_buffer))[1:]

    def _check(self, after: Sequence[Decimal], average: Decimal) -> None:
        require(
            self.months_shown == len(self.deposits),
            f"months_shown is {self.months_shown}, but there are {len(self.deposits)} deposits",
        )
        require(
            self.virtual_paycheck < average,
            f"virtual_paycheck must be below the average deposit of ${plain(average):,}",
        )
        dry = [month for month, level in enumerate(after, 1) if level < 0]
        require(not dry, f"the tank runs dry in month {dry[0] if dry else 0}: start with a buffer")


class CashBuffer(TopicParameters):
    """A checking balance expressed as days of expenses, rounded down."""

    expenses_per_month: PositiveMoney
    days_per_month: Annotated[int, Field(ge=28, le=31)]
    start: Money
    moves: Many[Change]
    target_low_months: Months
    target_high_months: Months

    def results(self) -> dict[str, Json]:
        balances = list(accumulate(self.moves, initial=self.start))
        self._check(balances)
        targets = (self.target_low_months, self.target_high_months)
        return {
            "per_day": plain(self.expenses_per_month / self.days_per_month),
            "balances": [plain(balance) for balance in balances],
            "days": [self._days(balance) for balance in balances],
            "months": [plain(balance / self.expenses_per_month) for balance in balances],
            "target_low": plain(self.expenses_per_month * self.target_low_months),
            "target_high": plain(self.expenses_per_month * self.target_high_months),
            "target_days": [months * self.days_per_month for months in targets],
        }

    def _days(self, balance: Decimal) -> int:
        return int(balance * self.days_per_month / self.expenses_per_month)

    def _check(self, balances: Sequence[Decimal]) -> None:
        targets = (self.target_low_months, self.target_high_months)
        require_ascending(targets, "target_low_months, target_high_months")
        lowest = min(balances)
        require(lowest >= 0, f"the moves take the buffer below zero (to ${lowest:,f})")


_THREE_SHARES = "needs_pct, wants_pct and save_pct"


def _slices(amounts: Sequence[Decimal], percent: Decimal) -> list[int | float]:
    return [plain(part(amount, percent)) for amount in amounts]


TOPICS: dict[str, type[TopicParameters]] = {
    "variable_income_budgeting": VariableIncomeBudgeting,
    "emergency_fund_basics": EmergencyFundBasics,
    "percent_based_budgets": PercentBasedBudgets,
    "income_smoothing": IncomeSmoothing,
    "cash_buffer": CashBuffer,
}
