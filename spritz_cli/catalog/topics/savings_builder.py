"""Saving: goals, automation, high-yield accounts, CDs, savings rates."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from spritz_cli.catalog.topics import finance
from spritz_cli.catalog.topics.base import (
    Json,
    Many,
    Name,
    Percent,
    PositiveMoney,
    PositivePercent,
    TopicParameters,
    require,
    require_ascending,
)
from spritz_cli.catalog.topics.finance import part, plain
from spritz_cli.formatting import rounded

#: The month that the goal film skips to show that the plan survives it.
MISSED_MONTH = 5

WEEKS_PER_YEAR = 52


class GoalSetting(TopicParameters):
    """A goal divided into equal steps, with milestones and one missed month."""

    goal: PositiveMoney
    months: Annotated[int, Field(gt=MISSED_MONTH, le=120)]
    milestones_pct: Many[PositivePercent]

    def results(self) -> dict[str, Json]:
        require_ascending(self.milestones_pct, "milestones_pct")
        weeks = Decimal(self.months * WEEKS_PER_YEAR) / 12
        step = self.goal / self.months
        return {
            "per_month": plain(step),
            "per_two_weeks": plain(self.goal / weeks * 2),
            "per_week": plain(self.goal / weeks),
            "milestone_amounts": [plain(part(self.goal, pct)) for pct in self.milestones_pct],
            "milestone_months": [self._month_of(percent) for percent in self.milestones_pct],
            "missed_month_5_new_amount": plain(self._after_missing(step)),
        }

    def _month_of(self, percent: Decimal) -> int:
        return finance.periods(self.months * percent, finance.HUNDRED)

    def _after_missing(self, step: Decimal) -> Decimal:
        return (self.goal - step * (MISSED_MONTH - 1)) / (self.months - MISSED_MONTH)


class AutomationSetup(TopicParameters):
    """One paycheck split on arrival; deposits only, no growth."""

    paycheck: PositiveMoney
    paydays_per_year: Annotated[int, Field(ge=12, le=52)]
    savings_pct: PositivePercent
    investing_pct: Percent
    order: Many[Name]

    def results(self) -> dict[str, Json]:
        checking_pct = 100 - self.savings_pct - self.investing_pct
        require(checking_pct > 0, "savings_pct and investing_pct must leave something for checking")
        savings = part(self.paycheck, self.savings_pct)
        investing = part(self.paycheck, self.investing_pct)
        return {
            "savings": plain(savings),
            "investing": plain(investing),
            "checking": plain(self.paycheck - savings - investing),
            "checking_pct": plain(checking_pct),
            "savings_year": plain(savings * self.paydays_per_year),
            "investing_year": plain(investing * self.paydays_per_year),
        }


class HysaComparison(TopicParameters):
    """One year of interest on the same balance at two APYs.

    One lit window stands for the interest of the regular account.
    """

    balance: PositiveMoney
    regular_apy_pct: PositivePercent
    high_yield_apy_pct: PositivePercent
    years: Annotated[int, Field(ge=1, le=1)]
    insurance_limit: PositiveMoney

    def results(self) -> dict[str, Json]:
        require_ascending(
            (self.regular_apy_pct, self.high_yield_apy_pct), "regular_apy_pct, high_yield_apy_pct"
        )
        regular = finance.apy_interest(self.balance, self.regular_apy_pct, 12 * self.years)
        high_yield = finance.apy_interest(self.balance, self.high_yield_apy_pct, 12 * self.years)
        return {
            "regular_interest": plain(regular, 0),
            "high_yield_interest": plain(high_yield, 0),
            "difference": plain(rounded(high_yield) - rounded(regular)),
            "windows_regular": 1,
            "windows_high_yield": plain(high_yield / regular, 0),
            "dollars_per_window": plain(regular, 0),
            "high_yield_nominal_rate_daily_pct": _nominal(self.high_yield_apy_pct),
            "regular_nominal_rate_daily_pct": _nominal(self.regular_apy_pct),
        }


class CdBasics(TopicParameters):
    """A CD kept for its term or left early, against a savings account.

    The names say month 12 and month 6; the real ones are `term_months` and `early_month`.
    """

    deposit: PositiveMoney
    cd_apy_pct: PositivePercent
    term_months: Annotated[int, Field(ge=2, le=60)]
    early_month: Annotated[int, Field(ge=1, le=59)]
    penalty_days_of_interest: Annotated[int, Field(ge=0, le=365)]
    savings_apy_pct: Percent

    def results(self) -> dict[str, Json]:
        nominal = finance.nominal_daily_pct(self.cd_apy_pct)
        penalty = part(self.deposit, nominal) * self.penalty_days_of_interest / finance.DAYS
        earned = finance.apy_interest(self.deposit, self.cd_apy_pct, self.early_month)
        self._check(earned, penalty)
        savings = finance.apy_interest(self.deposit, self.savings_apy_pct, self.early_month)
        at_term = finance.apy_interest(self.deposit, self.cd_apy_pct, self.term_months)
        savings_at_term = finance.apy_interest(self.deposit, self.savings_apy_pct, self.term_months)
        return {
            "cd_nominal_rate_daily_pct": plain(nominal, 4),
            **_exact_and_whole("cd_interest_month_6", earned),
            **_exact_and_whole("penalty", penalty),
            **_exact_and_whole("cd_kept_if_early", earned - penalty),
            **_exact_and_whole("savings_month_6", savings),
            "cd_month_12": plain(at_term, 0),
            "savings_month_12": plain(savings_at_term, 0),
            "wait_gain": plain(rounded(at_term) - rounded(savings_at_term)),
            "early_cost": plain(rounded(savings) - rounded(earned - penalty)),
        }

    def _check(self, earned: Decimal, penalty: Decimal) -> None:
        require(self.early_month < self.term_months, "early_month must be before term_months")
        require(
            penalty <= earned,
            f"the penalty of ${plain(penalty):,} is more than the ${plain(earned):,} earned by "
            f"month {self.early_month}, so nothing is left after leaving early",
        )


class SavingsRateOptimization(TopicParameters):
    """The balances that different savings rates reach, with deposits at the end of each month.

    `table` has one row per rate; the rate as text is its key. `step_10_years` and
    `interest_10_years_at_20` belong to the last of `years` and the highest of `rates_pct`.
    """

    take_home_per_month: PositiveMoney
    rates_pct: Many[Annotated[int, Field(ge=1, le=100)]]
    step_pct: PositivePercent
    assumed_apy_pct: Percent
    years: Many[Annotated[int, Field(ge=1, le=40)]]

    def results(self) -> dict[str, Json]:
        require_ascending(self.rates_pct, "rates_pct")
        require_ascending(self.years, "years")
        step = part(self.take_home_per_month, self.step_pct)
        highest, longest = self._monthly(self.rates_pct[-1]), self.years[-1]
        grown = rounded(self._balance(highest, longest))
        return {
            "table": {str(rate): self._row(self._monthly(rate)) for rate in self.rates_pct},
            "step_monthly": plain(step),
            "step_10_years": plain(self._balance(step, longest), 0),
            "interest_10_years_at_20": plain(grown - rounded(highest * 12 * longest)),
        }

    def _row(self, monthly: Decimal) -> dict[str, Json]:
        return {
            "monthly": plain(monthly),
            "balance": [plain(self._balance(monthly, years), 0) for years in self.years],
            "deposits": [plain(monthly * 12 * years, 0) for years in self.years],
        }

    def _monthly(self, rate: int) -> Decimal:
        return part(self.take_home_per_month, Decimal(rate))

    def _balance(self, monthly: Decimal, years: int) -> Decimal:
        return finance.deposits_with_growth(monthly, self.assumed_apy_pct, 12 * years)


def _exact_and_whole(name: str, amount: Decimal) -> dict[str, Json]:
    return {f"{name}_exact": plain(amount), name: plain(amount, 0)}


def _nominal(apy_pct: Decimal) -> int | float:
    rate = finance.nominal_daily_pct(apy_pct)
    return plain(rate, 2 - rate.adjusted())


TOPICS: dict[str, type[TopicParameters]] = {
    "goal_setting": GoalSetting,
    "automation_setup": AutomationSetup,
    "hysa_comparison": HysaComparison,
    "cd_basics": CdBasics,
    "savings_rate_optimization": SavingsRateOptimization,
}
