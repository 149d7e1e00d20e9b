"""Credit cards: utilization, paying debt down, autopay, balance transfers, daily interest."""

from __future__ import annotations

from calendar import monthrange
from decimal import Decimal
from typing import Annotated

from pydantic import Field, field_validator

from spritz_cli.catalog.topics import finance
from spritz_cli.catalog.topics.base import (
    Json,
    Many,
    Money,
    Name,
    Part,
    Percent,
    PositiveMoney,
    PositivePercent,
    TopicParameters,
    require,
    require_ascending,
    require_distinct,
)
from spritz_cli.catalog.topics.finance import plain
from spritz_cli.formatting import rounded

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Card(Part):
    name: Name
    balance: Money
    limit: PositiveMoney

    @property
    def used_pct(self) -> Decimal:
        return finance.percent_of(self.balance, self.limit)


class CreditUtilization(TopicParameters):
    """The used share of each card and of all limits, before and after one payment.

    `card_a_after` and `card_a_after_pct` belong to the card named in `payment_to`.
    """

    cards: Many[Card]
    payment: Money
    payment_to: Name
    guide_low_pct: PositivePercent
    guide_mid_pct: PositivePercent

    def results(self) -> dict[str, Json]:
        card = self._paid_card()
        total = sum((card.balance for card in self.cards), finance.ZERO)
        limit = sum((card.limit for card in self.cards), finance.ZERO)
        return {
            "per_card_pct": [plain(card.used_pct, 1) for card in self.cards],
            "total_balance": plain(total),
            "total_limit": plain(limit),
            "overall_before_pct": plain(finance.percent_of(total, limit), 1),
            "card_a_after": plain(card.balance),
            "card_a_after_pct": plain(card.used_pct, 1),
            "total_balance_after": plain(total - self.payment),
            "overall_after_pct": plain(finance.percent_of(total - self.payment, limit), 1),
        }

    def _paid_card(self) -> Card:
        self._check()
        card = next(card for card in self.cards if card.name == self.payment_to)
        return card.model_copy(update={"balance": card.balance - self.payment})

    def _check(self) -> None:
        balances = {card.name: card.balance for card in self.cards}
        require_distinct((card.name for card in self.cards), "card name")
        require_ascending((self.guide_low_pct, self.guide_mid_pct), "guide_low_pct, guide_mid_pct")
        require(
            self.payment_to in balances,
            f"payment_to must name one of the cards ({', '.join(balances)}), got {self.payment_to}",
        )
        require(
            self.payment <= balances[self.payment_to],
            f"the payment of ${self.payment:,f} is more than {self.payment_to} owes "
            f"(${balances[self.payment_to]:,f})",
        )


class OpenDebt(Part):
    name: Name
    balance: PositiveMoney
    apr_pct: Percent
    minimum: PositiveMoney


class DebtPaydownStrategy(TopicParameters):
    """The same debts and budget, paid off in two orders."""

    debts: Many[OpenDebt]
    monthly_budget: PositiveMoney

    def results(self) -> dict[str, Json]:
        require_distinct((debt.name for debt in self.debts), "debt name")
        debts = [finance.Debt(**dict(debt)) for debt in self.debts]
        avalanche = finance.pay_down(debts, self.monthly_budget, finance.avalanche)
        snowball = finance.pay_down(debts, self.monthly_budget, finance.snowball)
        first_wins = avalanche.payoffs[0][0], snowball.payoffs[0][0]
        return {
            "total_balance": plain(sum(debt.balance for debt in debts)),
            **_paydown("avalanche", avalanche),
            **_paydown("snowball", snowball),
            "interest_difference": plain(rounded(snowball.interest) - rounded(avalanche.interest)),
            "first_win_months_sooner": first_wins[0] - first_wins[1],
        }


def _paydown(name: str, plan: finance.Paydown) -> dict[str, Json]:
    return {
        f"{name}_months": plan.months,
        f"{name}_interest_exact": plain(plan.interest),
        f"{name}_interest": plain(plan.interest, 0),
        f"{name}_payoffs": [[month, debt] for month, debt in plan.payoffs],
        f"{name}_first_win_month": plan.payoffs[0][0],
        f"{name}_by_month": [[plain(owed) for owed in month] for month in plan.balances],
    }


class AutopaySetup(TopicParameters):
    """Due dates on real calendars, and what is left in checking after a payment."""

    year: Annotated[int, Field(ge=2000, le=2100)]
    months: Many[Annotated[int, Field(ge=1, le=12)]]
    due_day: Annotated[int, Field(ge=1, le=28)]
    statement_balance: Money
    checking_before: Money
    cushion: Money

    @field_validator("months")
    @classmethod
    def _in_calendar_order(cls, months: tuple[int, ...]) -> tuple[int, ...]:
        require_ascending(months, "months")
        return months

    def results(self) -> dict[str, Json]:
        after = self.checking_before - self.statement_balance
        require(
            after >= self.cushion,
            f"after paying, checking holds ${after:,f}: less than the cushion of "
            f"${self.cushion:,f}, so the film would show an overdraft risk",
        )
        starts, lengths = zip(*(monthrange(self.year, month) for month in self.months), strict=True)
        return {
            "due_weekdays": [_WEEKDAYS[(start + self.due_day - 1) % 7] for start in starts],
            "first_weekday_of_month": [_WEEKDAYS[start] for start in starts],
            "days_in_month": list(lengths),
            "checking_after": plain(after),
            "above_cushion": plain(after - self.cushion),
        }


class BalanceTransfer(TopicParameters):
    """Keeping the current APR, compared with a fee and a payoff within a promo window."""

    balance: PositiveMoney
    current_apr_pct: PositivePercent
    transfer_fee_pct: Percent
    promo_apr_pct: Percent
    promo_months: Annotated[int, Field(ge=1, le=36)]
    monthly_payment: PositiveMoney

    def results(self) -> dict[str, Json]:
        fee = rounded(finance.part(self.balance, self.transfer_fee_pct), 2)
        stay = finance.pay_off(self.balance, self.monthly_payment, self.current_apr_pct)
        move = self._move(self.balance + fee)
        saved = stay.interest - move.interest - fee
        return {
            "stay_months": stay.months,
            "stay_interest_exact": plain(stay.interest),
            "stay_interest": plain(stay.interest, 0),
            "stay_last_payment": plain(stay.payments[-1]),
            "fee": plain(fee),
            "new_balance": plain(self.balance + fee),
            "move_months": move.months,
            "full_payments": move.payments.count(self.monthly_payment),
            "last_payment": plain(move.payments[-1]),
            "saved_exact": plain(saved),
            "saved": plain(saved, 0),
            "first_month_after_promo": self.promo_months + 1,
            "even_split": plain((self.balance + fee) / self.promo_months),
        }

    def _move(self, balance: Decimal) -> finance.Payoff:
        move = finance.pay_off(balance, self.monthly_payment, self.promo_apr_pct)
        require(
            move.months <= self.promo_months,
            f"${self.monthly_payment:,f} a month takes {move.months} months, but the film shows "
            f"finishing inside promo_months ({self.promo_months})",
        )
        return move


class InterestCalculation(TopicParameters):
    """Interest that compounds daily over one cycle, with and without an early payment.

    The names say 30 days; the real length is `cycle_days`.
    """

    balance: PositiveMoney
    apr_pct: PositivePercent
    days_in_year: Annotated[int, Field(ge=360, le=366)]
    cycle_days: Annotated[int, Field(ge=2, le=31)]
    early_payment: Money
    early_payment_day: Annotated[int, Field(ge=1, le=31)]

    def results(self) -> dict[str, Json]:
        self._check()
        daily_pct = self.apr_pct / self.days_in_year
        late = self._cumulative(finance.ZERO)
        early = self._cumulative(self.early_payment)
        return {
            "daily_rate_pct": plain(daily_pct, 4),
            "day_1": plain(late[0]),
            "day_30": plain(late[-1] - late[-2]),
            "after_30_days": plain(late[-1]),
            "simple_30_days": plain(finance.part(self.balance, daily_pct) * self.cycle_days),
            "early_day_1": plain(early[0]),
            "early_after_30_days": plain(early[-1]),
            "difference": plain(rounded(late[-1], 2) - rounded(early[-1], 2)),
            "per_100_per_day": plain(daily_pct),
            "effective_annual_pct": plain(
                finance.effective_annual_pct(self.apr_pct, self.days_in_year)
            ),
            "cumulative_by_day": [plain(total) for total in late],
            "early_cumulative_by_day": [plain(total) for total in early],
        }

    def _cumulative(self, payment: Decimal) -> tuple[Decimal, ...]:
        days = finance.daily_interest(
            self.balance,
            self.apr_pct,
            self.cycle_days,
            days_in_year=self.days_in_year,
            payment=payment,
            payment_day=self.early_payment_day,
        )
        return tuple(days)

    def _check(self) -> None:
        require(
            self.early_payment <= self.balance,
            f"the early payment of ${self.early_payment:,f} is more than the balance of "
            f"${self.balance:,f}",
        )
        require(
            self.early_payment_day <= self.cycle_days,
            f"early_payment_day {self.early_payment_day} is after the cycle of "
            f"{self.cycle_days} days",
        )


TOPICS: dict[str, type[TopicParameters]] = {
    "credit_utilization": CreditUtilization,
    "debt_paydown_strategy": DebtPaydownStrategy,
    "autopay_setup": AutopaySetup,
    "balance_transfer": BalanceTransfer,
    "interest_calculation": InterestCalculation,
}
