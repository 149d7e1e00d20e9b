"""Every formula that numpy-financial has too, over a grid of usual and extreme plans.

What is computed in one step is compared at `EXACT`, far below a cent. A plan is
simulated month by month and rounds each month's interest to the cent, as a
statement does. That is off by half a cent at most, which is as if that month's
payment had been half a cent more or less: hence the bounds below, which grow
with the rate and the months, and are compared with numpy's own annuities.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise, product
from math import ceil

import numpy_financial as npf
import pytest

from spritz_cli.catalog.topics.finance import (
    Debt,
    apy_interest,
    avalanche,
    daily_interest,
    deposits_with_growth,
    effective_annual_pct,
    monthly_interest,
    nominal_daily_pct,
    pay_down,
    pay_off,
    periods,
    snowball,
)

# Where the rate is zero, numpy divides by it and then takes the other result.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

D = Decimal
HALF_A_CENT = 0.005

#: Dollars; large sums lose the last digits of a float.
EXACT = 1e-7

RATES = [D(0), D("0.01"), D("3.9"), D("9.9"), D("21.9"), D("29.99"), D(36)]
AMOUNTS = [D("0.07"), D(25), D("4800.37"), D(10_000), D("987654.32")]
MONTHS = [1, 2, 12, 25, 120]

#: Debts that close one by one, whose minimums pay some of them, and without any interest.
SEVERAL = [
    [Debt("A", D(1200), D("9.9"), D(45)), Debt("B", D(3000), D("21.9"), D(90))],
    [Debt("A", D(1200), D(0), D(45)), Debt("B", D(3000), D(0), D(90)), Debt("C", D(1), D(0), D(1))],
    [
        Debt("A", D("850.55"), D("29.99"), D(25)),
        Debt("B", D("4800.37"), D(0), D(140)),
        Debt("C", D(9000), D("17.4"), D(180)),
        Debt("D", D(300), D(36), D(100)),
    ],
]


def monthly(apr_pct: Decimal) -> float:
    return float(apr_pct) / 1200


def daily(apr_pct: Decimal, days: int = 365) -> float:
    return float(apr_pct) / 100 / days


def level_payment(balance: Decimal, apr_pct: Decimal, months: int) -> Decimal:
    """Return the payment that numpy ends a debt with, in cents, as a contract has it."""
    exact = npf.pmt(monthly(apr_pct), months, -float(balance))
    return D(float(exact)).quantize(D("0.01"), ROUND_HALF_UP)


def plans(apr_pct: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    """Yield debts with payments that end them on time, and ones that end them early."""
    for balance, months in product(AMOUNTS[1:], MONTHS):
        level = level_payment(balance, apr_pct, months)
        yield from ((balance, level + more) for more in (D(0), D("0.02"), D("7.77")))


@pytest.mark.parametrize("apr_pct", RATES)
def test_payments_are_worth_the_debt_that_they_end(apr_pct) -> None:
    for balance, payment in plans(apr_pct):
        payoff = pay_off(balance, payment, apr_pct)
        worth = npf.npv(monthly(apr_pct), [-float(balance), *map(float, payoff.payments)])
        assert abs(worth) <= npf.pv(monthly(apr_pct), payoff.months, -HALF_A_CENT) + EXACT
        assert set(payoff.payments[:-1]) <= {payment}
        assert 0 < payoff.payments[-1] <= payment
        assert payoff.interest == sum(payoff.payments) - balance


# Without interest numpy-financial 1.0 gives the months a wrong sign.
@pytest.mark.parametrize("apr_pct", RATES[1:])
def test_a_debt_ends_in_the_month_that_numpy_computes(apr_pct) -> None:
    certain = 0
    for balance, payment in plans(apr_pct):
        first, last = (
            ceil(npf.nper(monthly(apr_pct), -float(payment) + cents, float(balance)))
            for cents in (-HALF_A_CENT, HALF_A_CENT)
        )
        certain += first == last
        assert first <= pay_off(balance, payment, apr_pct).months <= last
    # A level payment ends a debt so exactly that half a cent decides on one month more.
    assert certain >= len(AMOUNTS[1:]) * len(MONTHS)


@pytest.mark.parametrize("apr_pct", RATES)
@pytest.mark.parametrize("months", [2, 12, 36])
def test_the_rate_of_return_of_the_payments_is_the_apr(apr_pct, months) -> None:
    balance = D(10_000)
    payoff = pay_off(balance, level_payment(balance, apr_pct, months), apr_pct)
    rate = npf.irr([-float(balance), *map(float, payoff.payments)])
    assert rate * 1200 == pytest.approx(float(apr_pct), abs=0.001)


@pytest.mark.parametrize("apr_pct", RATES)
def test_a_months_interest_is_that_of_numpy_in_whole_cents(apr_pct) -> None:
    for balance in AMOUNTS:
        interest = monthly_interest(balance, apr_pct)
        exact = -npf.ipmt(monthly(apr_pct), 1, 12, float(balance))
        assert interest == interest.quantize(D("0.01"))
        assert abs(float(interest) - exact) <= HALF_A_CENT + EXACT


# The payment is rounded to the cent as well. So each month adds up to a cent, and what
# a month repays is off by that and by the interest on the cents of those before it.
@pytest.mark.parametrize("apr_pct", RATES)
@pytest.mark.parametrize("months", [2, 12, 25, 120])
def test_a_level_payment_splits_into_interest_and_repayment(apr_pct, months) -> None:
    rate = monthly(apr_pct)
    for balance in AMOUNTS[2:]:
        loan = Debt("Loan", balance, apr_pct, D(0))
        plan = pay_down([loan], level_payment(balance, apr_pct, months), avalanche)
        assert abs(plan.months - months) <= 1
        for month in range(1, min(months, plan.months)):
            (owed,), (left,) = plan.balances[month - 1 : month + 1]
            bound = 2 * HALF_A_CENT * (1 + rate) ** (month - 1) + EXACT
            of_interest = -npf.ipmt(rate, month, months, float(balance))
            of_balance = -npf.ppmt(rate, month, months, float(balance))
            assert abs(float(owed - left) - of_balance) <= bound
            assert abs(float(monthly_interest(owed, apr_pct)) - of_interest) <= bound


@pytest.mark.parametrize("order", [avalanche, snowball])
@pytest.mark.parametrize("debts", SEVERAL)
@pytest.mark.parametrize("extra", [D(20), D("333.33"), D(2000)])
def test_between_two_payoffs_each_debt_falls_like_an_annuity(debts, extra, order) -> None:
    budget = sum(debt.minimum for debt in debts) + extra
    plan = pay_down(debts, budget, order)
    assert plan.months == plan.payoffs[-1][0]
    ends = sorted({month for month, _ in plan.payoffs})
    for start, end in pairwise([0, *ends]):
        payments = _payments(debts, plan.balances[start], budget, order)
        for month in range(start, end):
            for debt, payment, owed, left in zip(
                debts, payments, plan.balances[start], plan.balances[month], strict=True
            ):
                rate, passed = monthly(debt.apr_pct), month - start
                exact = npf.fv(rate, passed, float(payment), -float(owed)) if owed else 0
                bound = npf.fv(rate, passed, -HALF_A_CENT, 0) + EXACT
                assert abs(float(left) - exact) <= bound, (debt.name, month)


@pytest.mark.parametrize("apr_pct", RATES)
def test_debts_of_one_rate_fall_like_one_debt(apr_pct) -> None:
    debts = [Debt("A", D("987.65"), apr_pct, D(30)), Debt("B", D(4000), apr_pct, D(120))]
    plan = pay_down(debts, D(400), snowball)
    for month, balances in enumerate(plan.balances[:-1]):
        exact = npf.fv(monthly(apr_pct), month, 400, -4987.65)
        # Each of the two rounds its own interest.
        bound = npf.fv(monthly(apr_pct), month, -2 * HALF_A_CENT, 0) + EXACT
        assert abs(float(sum(balances)) - exact) <= bound


@pytest.mark.parametrize("apr_pct", RATES)
@pytest.mark.parametrize("year", [360, 365])
def test_daily_interest_is_a_future_value(apr_pct, year) -> None:
    for balance in AMOUNTS:
        totals = list(daily_interest(balance, apr_pct, 400, days_in_year=year))
        assert len(totals) == 400
        for day in (1, 2, 30, 365, 366, 400):
            value = npf.fv(daily(apr_pct, year), day, 0, -float(balance))
            assert float(totals[day - 1]) == pytest.approx(value - float(balance), abs=EXACT)


@pytest.mark.parametrize("apr_pct", RATES)
@pytest.mark.parametrize("day", [1, 2, 15, 30, 31])
def test_a_payment_lowers_the_future_value_from_its_day_on(apr_pct, day) -> None:
    rate = daily(apr_pct)
    totals = list(daily_interest(D(5000), apr_pct, 30, payment=D(1200), payment_day=day))
    before = min(day - 1, 30)
    left = npf.fv(rate, before, 0, -5000) - (1200 if day <= 30 else 0)
    value = npf.fv(rate, 30 - before, 0, -left)
    assert float(totals[-1]) == pytest.approx(value - (3800 if day <= 30 else 5000), abs=EXACT)


@pytest.mark.parametrize("apr_pct", [*RATES, D(400)])
@pytest.mark.parametrize("year", [1, 12, 360, 365])
def test_the_effective_rate_is_what_a_hundred_dollars_cost_in_a_year(apr_pct, year) -> None:
    value = npf.fv(daily(apr_pct, year), year, 0, -100)
    assert float(effective_annual_pct(apr_pct, year)) == pytest.approx(value - 100, abs=EXACT)


@pytest.mark.parametrize("apy_pct", [D("0.01"), D("0.5"), D("3.8"), D(12), D(100)])
def test_the_nominal_rate_is_what_makes_a_hundred_dollars_the_apy(apy_pct) -> None:
    rate = npf.rate(365, 0, -100, 100 + float(apy_pct), guess=0.0001, tol=1e-13)
    assert float(nominal_daily_pct(apy_pct)) == pytest.approx(rate * 365 * 100, abs=EXACT)


@pytest.mark.parametrize("apy_pct", RATES)
@pytest.mark.parametrize("months", [0, 1, 11, 12, 18, 60])
def test_an_apy_is_a_future_value_of_years(apy_pct, months) -> None:
    for balance in AMOUNTS:
        value = npf.fv(float(apy_pct) / 100, months / 12, 0, -float(balance))
        interest = apy_interest(balance, apy_pct, months)
        assert float(interest) == pytest.approx(value - float(balance), abs=EXACT)


@pytest.mark.parametrize("apy_pct", RATES)
@pytest.mark.parametrize("months", [0, 1, 2, 12, 60])
def test_deposits_are_an_annuity(apy_pct, months) -> None:
    rate = npf.fv(float(apy_pct) / 100, 1 / 12, 0, -1) - 1
    for deposit in AMOUNTS:
        value = npf.fv(rate, months, -float(deposit), 0)
        grown = deposits_with_growth(deposit, apy_pct, months)
        assert float(grown) == pytest.approx(value, rel=1e-9, abs=EXACT)


@pytest.mark.parametrize("step", [D("0.01"), D("0.07"), D(25), D("4800.37"), D(10**6)])
def test_a_goal_is_reached_in_the_first_period_whose_steps_are_worth_it(step) -> None:
    for amount in AMOUNTS:
        count = periods(amount, step)
        reached, before = (npf.pv(0, number, -float(step)) for number in (count, count - 1))
        assert before + EXACT < float(amount) <= reached + EXACT


def _payments(debts, owed, budget, order) -> list[Decimal]:
    """Return what each debt gets: the first open one also what the minimums leave."""
    still_open = [debt for debt, left in zip(debts, owed, strict=True) if left]
    first = min(still_open, key=order)
    others = sum(debt.minimum for debt in still_open if debt is not first)
    return [budget - others if debt is first else debt.minimum for debt in debts]
