"""Money maths: pure functions on exact decimals, no I/O.

Amounts are dollars, rates are percent per year (21.9 means 21.9 %), durations are whole
months or days. If something cannot be computed, ValueError names the values that are why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from spritz_cli.formatting import rounded

#: A plan that takes longer than fifty years is a mistake in its numbers.
MAX_MONTHS = 600

HUNDRED = Decimal(100)
MONTHS = Decimal(12)
DAYS = Decimal(365)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Debt:
    """One debt: `balance` and the monthly `minimum` in dollars."""

    name: str
    balance: Decimal
    apr_pct: Decimal
    minimum: Decimal


@dataclass(frozen=True)
class Payoff:
    """The payoff of one debt: its payment of each month, and the total interest."""

    payments: tuple[Decimal, ...]
    interest: Decimal

    @property
    def months(self) -> int:
        return len(self.payments)


@dataclass(frozen=True)
class Paydown:
    """The payoff of several debts.

    `balances[month][i]` is what debt i owes after a month, with month 0 as the start.
    `payoffs` lists the month and the name of each debt that ends, `interest` is the total.
    """

    balances: tuple[tuple[Decimal, ...], ...]
    payoffs: tuple[tuple[int, str], ...]
    interest: Decimal

    @property
    def months(self) -> int:
        return len(self.balances) - 1


Order = Callable[[Debt], Decimal]


def avalanche(debt: Debt) -> Decimal:
    """Sort key: the highest APR first."""
    return -debt.apr_pct


def snowball(debt: Debt) -> Decimal:
    """Sort key: the smallest balance first."""
    return debt.balance


def pay_down(debts: Sequence[Debt], budget: Decimal, order: Order) -> Paydown:
    """Pay every minimum each month; the rest of the budget goes to the first open debt."""
    _check_budget(debts, budget)
    sequence = sorted(range(len(debts)), key=lambda index: order(debts[index]))
    balances, payoffs, interest = [tuple(debt.balance for debt in debts)], [], ZERO
    while any(balances[-1]):
        added = [monthly_interest(*pair) for pair in _rated(balances[-1], debts)]
        owed = [sum(pair, ZERO) for pair in zip(balances[-1], added, strict=True)]
        balances.append(_pay_month(owed, debts, budget, sequence))
        interest += sum(added)
        closed = [i for i in sequence if balances[-2][i] and not balances[-1][i]]
        payoffs += [(len(balances) - 1, debts[index].name) for index in closed]
        _check_progress(balances, f"a budget of ${budget:,f} a month")
    return Paydown(tuple(balances), tuple(payoffs), interest)


def pay_off(balance: Decimal, payment: Decimal, apr_pct: Decimal) -> Payoff:
    """Pay a fixed amount each month until the debt is gone; the last payment is the rest."""
    payments: list[Decimal] = []
    interest = ZERO
    while balance > 0:
        added = monthly_interest(balance, apr_pct)
        _check_payment(balance, added, payment)
        payments.append(min(payment, balance + added))
        balance += added - payments[-1]
        interest += added
        if len(payments) > MAX_MONTHS:
            raise ValueError(f"paying ${payment:,f} a month takes more than {MAX_MONTHS} months")
    return Payoff(tuple(payments), interest)


def monthly_interest(balance: Decimal, apr_pct: Decimal) -> Decimal:
    """Return one month's interest in whole cents, as a statement shows it."""
    return rounded(balance * apr_pct / HUNDRED / MONTHS, 2)


def daily_interest(
    balance: Decimal,
    apr_pct: Decimal,
    days: int,
    *,
    days_in_year: int = 365,
    payment: Decimal = ZERO,
    payment_day: int = 1,
) -> Iterator[Decimal]:
    """Yield the total interest up to each day, compounded daily.

    A payment lowers the balance before the interest of its day is counted.
    """
    rate = apr_pct / HUNDRED / days_in_year
    total = ZERO
    for day in range(1, days + 1):
        balance -= payment if day == payment_day else ZERO
        total += (balance + total) * rate
        yield total


def effective_annual_pct(apr_pct: Decimal, days_in_year: int = 365) -> Decimal:
    """Return the percentage that an APR costs over a year if it compounds daily."""
    return ((1 + apr_pct / HUNDRED / days_in_year) ** days_in_year - 1) * HUNDRED


def nominal_daily_pct(apy_pct: Decimal) -> Decimal:
    """Return the yearly rate that gives this APY if it compounds daily."""
    return ((1 + apy_pct / HUNDRED) ** (1 / DAYS) - 1) * DAYS * HUNDRED


def apy_interest(balance: Decimal, apy_pct: Decimal, months: int) -> Decimal:
    """Return the interest that an APY earns; an APY includes compounding."""
    return balance * ((1 + apy_pct / HUNDRED) ** (months / MONTHS) - 1)


def deposits_with_growth(monthly: Decimal, apy_pct: Decimal, months: int) -> Decimal:
    """Return the balance after equal deposits at the end of every month."""
    growth = (1 + apy_pct / HUNDRED) ** (1 / MONTHS) - 1
    return monthly * (((1 + growth) ** months - 1) / growth if growth else months)


def part(amount: Decimal, percent: Decimal) -> Decimal:
    """Return `percent` of an amount."""
    return amount * percent / HUNDRED


def percent_of(amount: Decimal, whole: Decimal) -> Decimal:
    """Return an amount as a percentage of the whole."""
    if not whole:
        raise ValueError(f"${amount:,f} has no percentage of nothing")
    return amount / whole * HUNDRED


def periods(amount: Decimal, step: Decimal) -> int:
    """Return the number of equal steps that reach an amount, rounded up."""
    if step <= 0:
        raise ValueError(f"steps of ${step:,f} never reach ${amount:,f}")
    return int((amount / step).to_integral_value(ROUND_CEILING))


def plain(value: float | Decimal, places: int = 2) -> int | float:
    """Round to a JSON number: an int if it has no decimals left."""
    exact = rounded(value, places)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _pay_month(
    owed: Sequence[Decimal], debts: Sequence[Debt], budget: Decimal, sequence: Sequence[int]
) -> tuple[Decimal, ...]:
    left = [max(ZERO, amount - debt.minimum) for amount, debt in zip(owed, debts, strict=True)]
    extra = budget - (sum(owed) - sum(left))
    for index in sequence:
        paid = min(left[index], extra)
        left[index] -= paid
        extra -= paid
    return tuple(left)


def _rated(balances: Sequence[Decimal], debts: Sequence[Debt]) -> Iterator[tuple[Decimal, Decimal]]:
    return ((balance, debt.apr_pct) for balance, debt in zip(balances, debts, strict=True))


def _check_budget(debts: Sequence[Debt], budget: Decimal) -> None:
    minimums = sum(debt.minimum for debt in debts)
    if budget < minimums:
        raise ValueError(f"a budget of ${budget:,f} does not cover the minimums of ${minimums:,f}")


def _check_progress(balances: Sequence[Sequence[Decimal]], plan: str) -> None:
    if sum(balances[-1]) >= sum(balances[-2]):
        raise ValueError(f"{plan} does not lower the debt of ${sum(balances[-1]):,f}")
    if len(balances) > MAX_MONTHS:
        raise ValueError(f"{plan} takes more than {MAX_MONTHS} months")


def _check_payment(balance: Decimal, interest: Decimal, payment: Decimal) -> None:
    if payment <= interest:
        raise ValueError(
            f"${payment:,f} a month never pays ${balance:,f} off: "
            f"a month's interest is ${interest:,f}"
        )
