"""The contract of the daily budget, on the fake and on a real server."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any

import pytest
from redis import Redis

from spritz_cli.errors import InfrastructureError, RedisUnavailable
from spritz_cli.models import MicroUSD
from spritz_cli.storage.budget import DAY_SECONDS, KEPT_DAYS, Charge, DailyBudget, Day
from spritz_cli.testing import fake_redis

DOLLAR = MicroUSD(1_000_000)


def test_orders_are_held_while_they_fit_and_refused_beyond(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    day = budget.reserve([held("a", 600_000)])
    assert day == budget.today().date
    assert budget.reserve([held("b", 400_001)]) is None
    assert budget.reserve([held("c", 400_000)]) == day
    today = budget.today()
    assert [charge.order for charge in today.charges] == ["a", "c"]
    assert (today.spent, today.held, today.used, today.left) == (0, DOLLAR, DOLLAR, 0)


def test_the_segments_of_a_film_are_held_together_or_not_at_all(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    assert budget.reserve([held("a1", 600_000), held("a2", 600_000)]) is None
    assert budget.today().charges == ()
    assert budget.reserve([held("b1", 500_000), held("b2", 500_000)])


def test_asking_again_for_an_order_does_not_count_it_twice(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    day = budget.reserve([held("a", 600_000)])
    assert budget.reserve([held("a", 600_000)]) == day
    assert budget.reserve([held("a", 600_000), held("b", 400_000)]) == day
    assert budget.reserve([held("a", 600_000), held("b", 400_000)]) == day
    assert budget.today().used == DOLLAR


def test_one_order_named_twice_in_a_breath_counts_once(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    assert budget.reserve([held("a", 600_000)] * 2)
    assert budget.today().used == 600_000


def test_an_order_is_settled_at_what_it_really_cost(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    day = budget.reserve([held("a", 600_000)])
    for _ in range(2):
        budget.settle(day, "a", MicroUSD(550_000))
    assert budget.today().charges == (Charge("a", "p/t", MicroUSD(550_000), "spent"),)


def test_the_largest_settlement_stands_whichever_comes_first(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    day = budget.reserve([held("a", 10), held("b", 10)])
    for order, amounts in (("a", (7, 9)), ("b", (9, 7))):
        for amount in amounts:
            budget.settle(day, order, MicroUSD(amount))
    assert [charge.cost_micros for charge in budget.today().charges] == [9, 9]


def test_a_cost_beyond_the_cap_is_recorded_and_ends_the_day(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    day = budget.reserve([held("a", 600_000)])
    budget.settle(day, "a", MicroUSD(2 * DOLLAR))
    assert (budget.today().spent, budget.today().left) == (2 * DOLLAR, 0)
    assert budget.reserve([held("b", 1)]) is None
    assert budget.reserve([held("a", 600_000)]) == day


def test_a_settlement_that_redis_has_lost_the_order_of_is_recorded(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    day = budget.reserve([held("a", 600_000)])
    any_redis.flushall()
    budget.settle(day, "a", MicroUSD(600_000), template="p/t")
    assert budget.today().charges == (Charge("a", "p/t", MicroUSD(600_000), "spent"),)


def test_an_order_of_yesterday_is_settled_yesterday(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    yesterday = days_before(budget.today().date, 1)
    budget.settle(yesterday, "a", MicroUSD(600_000))
    assert budget.today().used == 0
    assert [(day.date, day.spent) for day in budget.days(2)] == [(yesterday, 600_000)]


def test_what_was_never_charged_is_given_back(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    day = budget.reserve([held("a", DOLLAR)])
    for _ in range(2):
        budget.release(day, "a")
    assert budget.today().left == DOLLAR
    assert budget.reserve([held("b", DOLLAR)]) == day


def test_what_was_spent_is_never_given_back(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    day = budget.reserve([held("a", 600_000)])
    budget.settle(day, "a", MicroUSD(600_000))
    budget.release(day, "a")
    assert budget.today().spent == 600_000


def test_what_costs_nothing_always_fits_and_leaves_no_trace(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=MicroUSD(0))
    day = budget.reserve([held("a", 0)])
    assert day
    budget.settle(day, "a", MicroUSD(0))
    assert any_redis.keys() == []
    assert budget.reserve([held("b", 1)]) is None


def test_without_a_cap_everything_fits_and_is_recorded(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=None)
    assert budget.reserve([held("a", 10**12)])
    assert budget.reserve([held("b", 10**12)])
    assert (budget.today().used, budget.today().left) == (2 * 10**12, None)


def test_an_absurd_amount_does_not_fit(any_redis: Redis) -> None:
    assert DailyBudget(any_redis).reserve([held("a", 10**400)]) is None


@pytest.mark.parametrize("amount", [-1, 0.5, 1.0, "1", True, None])
def test_only_whole_amounts_from_zero_up_are_money(any_redis: Redis, amount: Any) -> None:
    budget = DailyBudget(any_redis)
    with pytest.raises(ValueError, match="micro-dollars"):
        budget.reserve([held("a", amount)])
    with pytest.raises(ValueError, match="micro-dollars"):
        budget.reserve([], journal=[held("a", amount)])
    with pytest.raises(ValueError, match="micro-dollars"):
        budget.settle("2026-11-23", "a", amount)
    assert any_redis.keys() == []


# Redis loses its data


def test_what_redis_forgot_is_put_back_before_anything_is_reserved(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    journal = [held("a", 600_000), Charge("b", "p/t", MicroUSD(300_000), "spent")]
    assert budget.reserve([held("c", 100_001)], journal=journal) is None
    assert (budget.today().spent, budget.today().held) == (300_000, 600_000)
    assert budget.reserve([held("c", 100_000)], journal=journal)


def test_a_journal_counts_also_where_it_does_not_fit(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    journal = [held("a", 700_000), held("b", 700_000)]
    assert budget.reserve([held("a", 700_000)], journal=journal)
    assert budget.today().used == 1_400_000
    assert budget.reserve([held("c", 1)]) is None


def test_a_journal_that_redis_knows_changes_nothing(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    day = budget.reserve([held("a", 600_000)])
    budget.settle(day, "a", MicroUSD(500_000))
    budget.reserve([], journal=[held("a", 600_000)])
    assert budget.today().charges == (Charge("a", "p/t", MicroUSD(500_000), "spent"),)


def test_a_settlement_that_redis_forgot_comes_back_with_the_journal(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    budget.reserve([held("a", 600_000), held("b", 600_000)])
    journal = [
        Charge("a", "p/t", MicroUSD(500_000), "spent"),
        Charge("b", "p/t", MicroUSD(0), "spent"),
    ]
    assert budget.reserve([], journal=journal)
    assert (budget.today().spent, budget.today().held) == (500_000, 0)


def test_the_journal_of_another_day_is_left_out(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=DOLLAR)
    today = budget.today().date
    yesterday = days_before(today, 1)
    journal = [held("a", DOLLAR)]
    assert budget.reserve([held("b", 1)], journal=journal, journal_day=yesterday) == today
    assert budget.reserve([held("c", 1)], journal=journal, journal_day=today) is None


# Days


@pytest.mark.parametrize("hours", [-100_000, -24, 24, 100_000])
def test_the_day_is_the_servers_whatever_the_clock_here_says(
    any_redis: Redis, hours: float
) -> None:
    right = DailyBudget(any_redis)
    now = right._clock()
    wrong = DailyBudget(any_redis, clock=lambda: max(0.0, now + 3600 * hours))
    assert wrong.reserve([held("a", 1)]) == right.today().date
    assert wrong.today() == right.today()


def test_midnight_between_guess_and_question_opens_a_new_day(any_redis: Redis) -> None:
    before = DailyBudget(any_redis)._clock() - DAY_SECONDS
    budget = DailyBudget(any_redis, cap_micros=DOLLAR, clock=lambda: before)
    today = DailyBudget(any_redis).today().date
    budget.settle(days_before(today, 1), "a", DOLLAR)
    assert budget.reserve([held("b", DOLLAR)]) == today


def test_days_are_listed_newest_first_without_the_free_ones(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis, cap_micros=None)
    today = budget.today().date
    for back, cost in ((0, 1), (2, 3), (6, 7), (7, 8)):
        budget.settle(days_before(today, back), "a", MicroUSD(cost), template="p/t")
    assert [day.spent for day in budget.days(7)] == [1, 3, 7]
    assert [day.date for day in budget.days(1)] == [today]
    assert budget.days(0) == []
    assert budget.days(1) == [Day(today, (Charge("a", "p/t", MicroUSD(1), "spent"),), None)]


def test_every_day_is_forgotten_after_forty(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    today = budget.reserve([held("a", 1)])
    budget.settle(days_before(today, KEPT_DAYS), "b", MicroUSD(1))
    budget.settle(days_before(today, KEPT_DAYS + 1), "c", MicroUSD(1))
    left = any_redis.ttl(f"video:budget:{today}") / DAY_SECONDS
    assert KEPT_DAYS - 0.01 <= left <= KEPT_DAYS + 1
    assert 0 < any_redis.ttl(f"video:budget:{days_before(today, KEPT_DAYS)}") <= DAY_SECONDS
    assert not any_redis.exists(f"video:budget:{days_before(today, KEPT_DAYS + 1)}")


def test_the_next_day_begins_at_midnight_utc(any_redis: Redis) -> None:
    left = DailyBudget(any_redis).seconds_to_reset()
    seconds, _ = any_redis.time()
    assert 0 < left <= DAY_SECONDS
    assert abs((seconds + left + DAY_SECONDS / 2) % DAY_SECONDS - DAY_SECONDS / 2) < 5


def test_budgets_of_different_prefixes_have_nothing_in_common(any_redis: Redis) -> None:
    DailyBudget(any_redis, "a:").reserve([held("x", 1)])
    assert DailyBudget(any_redis, "b:").today().charges == ()


def test_any_words_survive_in_an_order_and_its_template(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    charge = Charge('é "x" %d', 'p/"t",\n"micro":0} ☃', MicroUSD(5), "held")
    day = budget.reserve([charge])
    assert budget.today().charges == (charge,)
    budget.settle(day, charge.order, MicroUSD(6))
    assert budget.today().charges == (Charge(charge.order, charge.template, MicroUSD(6), "spent"),)


# Damage


DAMAGE = (
    "",
    "0",
    "null",
    "{}",
    '{"micro":5,"state":"held"',
    '{"micro":-5,"state":"held","template":"p/t"}',
    '{"micro":"5","state":"held","template":"p/t"}',
    '{"micro":0.5,"state":"held","template":"p/t"}',
    '{"micro":5e3,"state":"held","template":"p/t"}',
    '{"micro":5,"state":"free","template":"p/t"}',
    '{"micro":5,"template":"p/t"}',
    '{"state":"held","template":"p/t"}',
)


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_charge_is_an_error_that_names_its_key_and_never_nothing(
    any_redis: Redis, text: str
) -> None:
    budget = DailyBudget(any_redis)
    today = budget.today().date
    any_redis.hset(f"video:budget:{today}", "a", text)
    for question in (
        budget.today,
        lambda: budget.days(3),
        lambda: budget.reserve([held("b", 1)]),
        lambda: budget.settle(today, "a", MicroUSD(1)),
        lambda: budget.release(today, "a"),
    ):
        with pytest.raises(InfrastructureError, match=f"video:budget:{today}.* a$"):
            question()
    assert any_redis.hgetall(f"video:budget:{today}") == {"a": text}


@pytest.mark.parametrize("back", [0, 2])
def test_a_key_of_another_type_is_an_error_that_names_it(any_redis: Redis, back: int) -> None:
    budget = DailyBudget(any_redis)
    day = days_before(budget.today().date, back)
    any_redis.set(f"video:budget:{day}", "something else")
    with pytest.raises(InfrastructureError, match=f"video:budget:{day}") as refused:
        budget.days(3)
    assert not isinstance(refused.value, RedisUnavailable)
    with pytest.raises(InfrastructureError, match=f"video:budget:{day}"):
        budget.settle(day, "a", MicroUSD(1))


def test_a_day_that_is_none_is_refused(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    for day in ("", "today", "2026-02-30"):
        with pytest.raises(ValueError, match=r"day|format"):
            budget.settle(day, "a", MicroUSD(1))
        with pytest.raises(ValueError, match=r"day|format"):
            budget.release(day, "a")


def test_a_server_that_is_away_is_one_clear_error() -> None:
    redis = fake_redis()
    budget = DailyBudget(redis)
    redis.connection_pool.connection_kwargs["server"].connected = False
    for question in (budget.today, budget.seconds_to_reset, lambda: budget.reserve([held("a", 1)])):
        with pytest.raises(RedisUnavailable):
            question()


def test_of_many_threads_only_those_that_fit_get_through(any_redis: Redis) -> None:
    budget = DailyBudget(any_redis)
    start = threading.Barrier(12)
    passed = []

    def race(number: int) -> None:
        start.wait()
        if budget.reserve([held(f"order-{number}", 600_000)]):
            passed.append(number)

    threads = [threading.Thread(target=race, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 8
    assert budget.today().used == 4_800_000


def held(order: str, cost: Any) -> Charge:
    return Charge(order, "p/t", cost, "held")


def days_before(day: str, count: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=count)).isoformat()
