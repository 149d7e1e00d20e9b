"""The shared state of a provider, on the fake and on a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from redis import Redis

from spritz_cli.errors import RedisUnavailable
from spritz_cli.storage.provider_state import Circuit, Gate, Slots
from spritz_cli.testing import fake_redis
from tests.processes import wait_until

#: Seconds until a key expires that a test waits for.
SHORT = 0.5

TAKER = """
import os, signal, sys
from spritz_cli.storage.redis.connection import connect
from spritz_cli.storage.provider_state import Gate, Slots
redis = connect(sys.argv[1])
assert Slots(redis, "video:", "veo", 1, seconds=1.5).acquire("killed")
assert Gate(redis, "video:", "veo", seconds=1.5).enter("killed")
os.kill(os.getpid(), signal.SIGKILL)
"""


# Circuit


def test_a_circuit_is_closed_until_something_opens_it(any_redis: Redis) -> None:
    circuit = Circuit(any_redis, "video:", "veo")
    assert circuit.state() is None
    circuit.open("quota", "no credit left", 60)
    opened = circuit.state()
    assert (opened.reason, opened.message) == ("quota", "no credit left")
    assert 59 < opened.seconds_left <= 60
    age = datetime.now(UTC) - datetime.fromisoformat(opened.since)
    assert abs(age.total_seconds()) < 5


def test_every_process_sees_an_open_circuit_of_its_own_provider(any_redis: Redis) -> None:
    Circuit(any_redis, "video:", "veo").open("auth", "wrong key", 60)
    assert Circuit(any_redis, "video:", "veo").state()
    assert Circuit(any_redis, "video:", "wan").state() is None
    assert Circuit(any_redis, "other:", "veo").state() is None


def test_a_circuit_closes_by_itself(any_redis: Redis) -> None:
    circuit = Circuit(any_redis, "video:", "veo")
    circuit.open("rate", "too many requests", SHORT)
    assert circuit.state()
    wait_until(lambda: circuit.state() is None)


def test_a_circuit_can_be_closed_by_hand(any_redis: Redis) -> None:
    circuit = Circuit(any_redis, "video:", "veo")
    circuit.open("quota", "no credit left", 60)
    circuit.close()
    circuit.close()
    assert circuit.state() is None


def test_a_short_reason_does_not_shorten_a_long_one(any_redis: Redis) -> None:
    circuit = Circuit(any_redis, "video:", "veo")
    circuit.open("quota", "no credit left", 60)
    circuit.open("rate", "too many requests", 1)
    assert circuit.state().reason == "quota"
    circuit.open("auth", "wrong key", 3600)
    assert circuit.state().reason == "auth"
    assert circuit.state().seconds_left > 3000


# Slots


def test_no_more_jobs_than_the_limit_have_a_slot(any_redis: Redis) -> None:
    slots = Slots(any_redis, "video:", "veo", 2)
    assert [slots.acquire(owner) for owner in "abc"] == [True, True, False]
    slots.release("a")
    slots.release("a")
    assert [slots.acquire(owner) for owner in "cd"] == [True, False]


def test_who_asks_twice_has_one_slot(any_redis: Redis) -> None:
    slots = Slots(any_redis, "video:", "veo", 2)
    assert [slots.acquire(owner) for owner in "aab"] == [True, True, True]
    assert not slots.acquire("c")


def test_slots_of_different_providers_have_nothing_in_common(any_redis: Redis) -> None:
    assert Slots(any_redis, "video:", "veo", 1).acquire("a")
    assert Slots(any_redis, "video:", "wan", 1).acquire("b")


def test_a_slot_that_is_renewed_lasts_and_one_that_is_not_frees_itself(any_redis: Redis) -> None:
    slots = Slots(any_redis, "video:", "veo", 2)
    brief = Slots(any_redis, "video:", "veo", 2, seconds=SHORT)
    assert brief.acquire("renewed")
    assert brief.acquire("forgotten")
    assert slots.renew("renewed")
    wait_until(lambda: slots.acquire("new"))
    assert not slots.renew("forgotten")
    assert slots.renew("renewed")
    assert not slots.acquire("another")


def test_only_who_has_a_slot_can_renew_it(any_redis: Redis) -> None:
    slots = Slots(any_redis, "video:", "veo", 1)
    assert not slots.renew("a")
    assert slots.acquire("b")
    assert not slots.renew("a")


def test_a_slot_with_a_short_life_does_not_shorten_the_others(any_redis: Redis) -> None:
    assert Slots(any_redis, "video:", "veo", 2, seconds=60).acquire("long")
    short = Slots(any_redis, "video:", "veo", 2, seconds=SHORT)
    assert short.acquire("short")
    time.sleep(2 * SHORT)
    assert Slots(any_redis, "video:", "veo", 2).renew("long")
    assert not short.renew("short")


def test_of_many_threads_as_many_win_as_there_are_slots(any_redis: Redis) -> None:
    slots = Slots(any_redis, "video:", "veo", 3)
    assert sum(race(10, slots.acquire)) == 3


def test_a_limit_that_lets_nothing_run_is_refused(any_redis: Redis) -> None:
    with pytest.raises(ValueError, match="limit"):
        Slots(any_redis, "video:", "veo", 0)


# Gate


def test_one_at_a_time_until_the_provider_is_proven(any_redis: Redis) -> None:
    gate = Gate(any_redis, "video:", "veo")
    assert [gate.enter(owner) for owner in "ab"] == [True, False]
    gate.leave("a", proven=False)
    assert [gate.enter(owner) for owner in "ba"] == [True, False]
    gate.leave("b", proven=True)
    assert all(gate.enter(owner) for owner in "abc")
    gate.leave("a", proven=False)
    assert gate.enter("d")


def test_who_asks_twice_is_still_let_in(any_redis: Redis) -> None:
    gate = Gate(any_redis, "video:", "veo")
    assert [gate.enter(owner) for owner in "aab"] == [True, True, False]


def test_who_is_outside_lets_nobody_in_by_leaving(any_redis: Redis) -> None:
    gate = Gate(any_redis, "video:", "veo")
    assert gate.enter("a")
    gate.leave("b", proven=False)
    assert not gate.enter("c")


def test_a_gate_frees_itself_of_who_never_leaves(any_redis: Redis) -> None:
    gate = Gate(any_redis, "video:", "veo", seconds=SHORT)
    assert gate.enter("a")
    assert not gate.enter("b")
    wait_until(lambda: gate.enter("b"))
    gate.leave("a", proven=False)
    assert not gate.enter("c")


def test_a_dead_provider_costs_one_request_however_many_workers_there_are(
    any_redis: Redis,
) -> None:
    gate = Gate(any_redis, "video:", "veo")
    assert sum(race(10, gate.enter)) == 1


# All of them


def test_a_killed_process_blocks_nobody_for_long(real_redis: Redis, real_redis_url: str) -> None:
    taker = subprocess.run([sys.executable, "-c", TAKER, real_redis_url], timeout=30)
    assert taker.returncode == -9
    slots = Slots(real_redis, "video:", "veo", 1)
    gate = Gate(real_redis, "video:", "veo")
    assert not slots.acquire("next")
    assert not gate.enter("next")
    wait_until(lambda: slots.acquire("next") and gate.enter("next"))


def test_every_key_ends_by_itself(any_redis: Redis) -> None:
    Circuit(any_redis, "video:", "veo").open("rate", "too many requests", 30)
    Slots(any_redis, "video:", "veo", 1).acquire("a")
    gate = Gate(any_redis, "video:", "veo")
    gate.enter("a")
    names = set(any_redis.scan_iter())
    gate.leave("a", proven=True)
    names |= set(any_redis.scan_iter())
    assert {name.rpartition(":")[2] for name in names} == {"circuit", "slots", "gate", "proof"}
    assert all(0 < any_redis.ttl(name) <= 600 for name in any_redis.scan_iter())


def test_a_server_that_is_away_is_one_clear_error() -> None:
    redis = fake_redis()
    circuit = Circuit(redis, "video:", "veo")
    slots = Slots(redis, "video:", "veo", 1)
    gate = Gate(redis, "video:", "veo")
    redis.connection_pool.connection_kwargs["server"].connected = False
    questions: list[Callable[[], object]] = [
        circuit.state,
        circuit.close,
        lambda: circuit.open("rate", "too many requests", 1),
        lambda: slots.acquire("a"),
        lambda: slots.renew("a"),
        lambda: slots.release("a"),
        lambda: gate.enter("a"),
        lambda: gate.leave("a", proven=True),
    ]
    for question in questions:
        with pytest.raises(RedisUnavailable):
            question()


def race(count: int, take: Callable[[str], bool]) -> list[bool]:
    start = threading.Barrier(count)
    answers: list[bool] = []

    def run(owner: str) -> None:
        start.wait()
        answers.append(take(owner))

    threads = [threading.Thread(target=run, args=[str(number)]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
