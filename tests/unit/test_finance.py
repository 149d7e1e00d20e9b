from __future__ import annotations

from decimal import Decimal

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
    part,
    pay_down,
    pay_off,
    percent_of,
    periods,
    plain,
    snowball,
)
from spritz_cli.formatting import rounded

D = Decimal

LOAN = Debt("Loan", D(1200), D("9.9"), D(45))
CARD_A = Debt("Card A", D(3000), D("21.9"), D(90))
CARD_B = Debt("Card B", D(4800), D("27.9"), D(140))
DEBTS = [LOAN, CARD_A, CARD_B]


@pytest.mark.parametrize("order", [avalanche, snowball])
@pytest.mark.parametrize("budget", [D(275), D("333.33"), D(450), D(9999)])
def test_what_is_paid_is_what_was_owed_plus_interest(order, budget) -> None:
    plan = pay_down(DEBTS, budget, order)
    last_month = sum(plan.balances[-2])
    last_interest = sum(
        monthly_interest(owed, debt.apr_pct)
        for owed, debt in zip(plan.balances[-2], DEBTS, strict=True)
    )
    paid = budget * (plan.months - 1) + last_month + last_interest
    assert paid == 9000 + plan.interest
    assert all(balance >= 0 for month in plan.balances for balance in month)
    assert sorted(name for _, name in plan.payoffs) == ["Card A", "Card B", "Loan"]


def test_the_avalanche_never_costs_more_than_the_snowball() -> None:
    for budget in range(280, 1000, 120):
        costs = [pay_down(DEBTS, D(budget), order).interest for order in (avalanche, snowball)]
        assert costs[0] <= costs[1]


def test_the_order_is_by_rate_or_by_balance() -> None:
    assert pay_down(DEBTS, D(450), avalanche).payoffs[0][1] == "Card B"
    assert pay_down(DEBTS, D(450), snowball).payoffs[0][1] == "Loan"


def test_a_debt_smaller_than_its_minimum_frees_the_rest_at_once() -> None:
    tiny = Debt("Tiny", D(10), D(0), D(50))
    plan = pay_down([tiny, Debt("Big", D(500), D(0), D(50))], D(100), snowball)
    assert plan.balances[1] == (D(0), D(410))


def test_a_budget_below_the_minimums_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$200 does not cover the minimums of \$275"):
        pay_down(DEBTS, D(200), avalanche)


def test_a_budget_below_the_interest_is_refused() -> None:
    debt = Debt("Card", D(10_000), D(30), D(50))
    with pytest.raises(ValueError, match="does not lower the debt"):
        pay_down([debt], D(200), avalanche)


def test_a_plan_of_more_than_fifty_years_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 600 months"):
        pay_down([Debt("Loan", D(10_000), D(0), D(1))], D(10), avalanche)
    with pytest.raises(ValueError, match="more than 600 months"):
        pay_off(D(10_000), D(10), D(0))


def test_without_interest_a_debt_is_simply_divided() -> None:
    payoff = pay_off(D(5150), D(345), D(0))
    assert payoff.payments == (D(345),) * 14 + (D(320),)
    assert payoff.interest == 0


def test_a_payment_that_only_covers_the_interest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$100 a month never pays \$10,000 off.*\$100"):
        pay_off(D(10_000), D(100), D(12))


def test_payments_add_up_to_balance_and_interest() -> None:
    payoff = pay_off(D(5000), D(345), D("21.9"))
    assert sum(payoff.payments) == 5000 + payoff.interest
    assert payoff.interest == D("860.13")


def test_monthly_interest_is_in_cents_rounded_half_up() -> None:
    assert monthly_interest(D(1200), D("9.9")) == D("9.90")
    assert monthly_interest(D(1), D(6)) == D("0.01")
    assert monthly_interest(D(1000), D(0)) == 0


def test_daily_interest_compounds() -> None:
    totals = list(daily_interest(D(5000), D("21.9"), 365))
    exact = 5000 * effective_annual_pct(D("21.9")) / 100
    assert rounded(totals[-1], 8) == rounded(exact, 8)
    assert totals == sorted(totals)
    assert set(daily_interest(D(5000), D(0), 30)) == {0}


def test_a_payment_counts_from_its_own_day_on() -> None:
    whole = list(daily_interest(D(5000), D("21.9"), 30))
    late = list(daily_interest(D(5000), D("21.9"), 30, payment=D(1000), payment_day=15))
    assert late[:14] == whole[:14]
    assert late[14] < whole[14]


def test_the_nominal_rate_gives_the_apy_back() -> None:
    nominal = nominal_daily_pct(D(4))
    assert rounded(effective_annual_pct(nominal), 12) == 4
    assert nominal_daily_pct(D(0)) == 0


def test_an_apy_is_earned_over_a_whole_year() -> None:
    assert rounded(apy_interest(D(10_000), D("3.8"), 12), 9) == 380
    assert rounded(apy_interest(D(10_000), D(4), 24), 9) == 816
    assert apy_interest(D(10_000), D(0), 12) == 0


def test_deposits_without_growth_are_their_sum() -> None:
    assert deposits_with_growth(D(200), D(0), 12) == 2400
    assert rounded(deposits_with_growth(D(200), D(3), 12)) == 2433


def test_deposits_grow_like_each_of_them_alone() -> None:
    each = sum(100 + apy_interest(D(100), D(5), month) for month in range(24))
    assert rounded(deposits_with_growth(D(100), D(5), 24), 6) == rounded(each, 6)


def test_percentages_are_exact() -> None:
    assert part(D("0.1"), D(30)) == D("0.03")
    assert percent_of(D(3000), D(5000)) == 60
    with pytest.raises(ValueError, match="no percentage of nothing"):
        percent_of(D(1), D(0))


def test_a_started_period_counts() -> None:
    assert periods(D(900), D(250)) == 4
    assert periods(D(1000), D(250)) == 4
    assert periods(D(0), D(250)) == 0
    with pytest.raises(ValueError, match="never reach"):
        periods(D(900), D(0))


@pytest.mark.parametrize(
    ("value", "places", "result"),
    [(0.5, 0, 1), (2.5, 0, 3), (-2.5, 0, -3), (1.005, 2, "1.01"), (D("90.785"), 2, "90.79")],
)
def test_halves_round_away_from_zero_on_the_written_digits(value, places, result) -> None:
    assert rounded(value, places) == D(result)


def test_json_numbers_are_whole_where_they_can_be() -> None:
    assert repr(plain(D("3.000"))) == "3"
    assert repr(plain(D("3.005"))) == "3.01"
    assert repr(plain(D("0.38333"), 3)) == "0.383"
