"""The contract of leases, on the fake and on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from spritz_cli.errors import InfrastructureError, LeaseLost, RedisUnavailable
from spritz_cli.retries import Retries
from spritz_cli.storage.leases import Leases
from spritz_cli.testing import fake_redis

HOLDER = """
import sys, time
from spritz_cli.storage.redis.connection import connect
from spritz_cli.storage.leases import Leases
from spritz_cli.testing import fake_redis
lease = Leases(connect(sys.argv[1]), ttl_seconds=float(sys.argv[2])).acquire(sys.argv[3])
print(lease.fence if lease else "busy", flush=True)
time.sleep(60)
"""


def test_only_one_can_hold_a_lease(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    with leases.acquire("k") as lease:
        assert lease
        assert leases.acquire("k") is None
    with leases.acquire("k") as again:
        assert again


def test_of_many_threads_exactly_one_wins(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    start = threading.Barrier(8)
    won = []

    def race() -> None:
        start.wait()
        if lease := leases.acquire("k"):
            won.append(lease)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()


def test_the_holder_and_its_progress_can_be_seen(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    with leases.acquire("k") as lease:
        lease.report(0.43, "drawing")
        until(lambda: leases.holder("k").progress == 0.43)
        seen, nobody = leases.holders(["k", "other"])
    assert (seen.pid, seen.stage, seen.dead) == (os.getpid(), "drawing", False)
    assert nobody is None
    assert leases.holder("k") is None


def test_a_lease_outlives_its_expiry_while_its_holder_lives(any_redis: Redis) -> None:
    # Long enough that a busy machine does not keep the thread that renews it from running.
    leases = Leases(any_redis, ttl_seconds=1.0)
    with leases.acquire("k") as lease:
        time.sleep(2.2)
        lease.check()
        assert leases.acquire("k") is None


def test_progress_is_written_at_most_five_times_a_second(real_redis: Redis) -> None:
    leases = Leases(real_redis)
    with leases.acquire("k") as lease:
        began = time.monotonic()
        before = real_redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        for step in range(100):
            lease.report(step / 100, "drawing")
            time.sleep(0.005)
        after = real_redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        seconds = time.monotonic() - began
    # At most one write per REPORT_INTERVAL, and the loop may take long on a busy machine.
    assert 1 <= after - before <= 5 * seconds + 2


def test_a_lease_that_another_has_taken_is_lost(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    with leases.acquire("k") as lease:
        any_redis.delete(lease.redis_key)
        with leases.acquire("k") as successor:
            with pytest.raises(LeaseLost):
                lease.check()
            assert lease.lost
            lease.release()
            successor.check()


def test_a_fence_never_goes_back_even_if_the_server_forgets_everything(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    fences = []
    for _ in range(3):
        with leases.acquire("k") as lease:
            fences.append(lease.fence)
    time.sleep(0.01)
    any_redis.flushall()
    with leases.acquire("k") as lease:
        fences.append(lease.fence)
    assert fences == sorted(set(fences))


def test_an_answer_that_got_lost_does_not_lock_its_owner_out(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    with leases.acquire("k") as lease:
        keys = [lease.redis_key, "video:fence"]
        assert int(leases._take(keys=keys, args=[lease.owner, 1000, "now", "", 0])) == lease.fence


def test_a_released_lease_stops_its_thread(any_redis: Redis) -> None:
    before = threading.active_count()
    with Leases(any_redis).acquire("k"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_forked_child_does_not_release_its_parents_lease(real_redis: Redis) -> None:
    with Leases(real_redis).acquire("k") as lease:
        child = os.fork()
        if not child:
            lease.release()
            os._exit(0)
        os.waitpid(child, 0)
        lease.check()


def test_the_lease_of_a_killed_process_is_taken_over_at_once(
    real_redis: Redis, real_redis_url: str
) -> None:
    leases = Leases(real_redis)
    with holding(real_redis_url, "k") as process:
        assert leases.acquire("k") is None
        process.kill()
        process.wait()
        assert leases.holder("k").dead
        with leases.acquire("k") as lease:
            assert lease


def test_a_zombie_holds_nothing(real_redis: Redis, real_redis_url: str) -> None:
    leases = Leases(real_redis)
    with holding(real_redis_url, "k") as process:
        process.kill()
        until(lambda: leases.holder("k").dead)
        with leases.acquire("k") as lease:
            assert lease


def test_the_leases_of_the_dead_can_be_freed(real_redis: Redis, real_redis_url: str) -> None:
    leases = Leases(real_redis)
    with holding(real_redis_url, "dead") as process, leases.acquire("living"):
        process.kill()
        process.wait()
        assert leases.release_dead(["dead", "living", "nobody"]) == ["dead"]
        assert leases.holder("dead") is None
        assert leases.holder("living")


def test_a_stopped_process_keeps_its_lease_until_it_expires(
    real_redis: Redis, real_redis_url: str
) -> None:
    leases = Leases(real_redis)
    with holding(real_redis_url, "k", ttl=1.0) as process:
        process.send_signal(signal.SIGSTOP)
        assert leases.acquire("k") is None
        until(lambda: leases.holder("k") is None)
        with leases.acquire("k") as lease:
            assert lease


def test_a_lease_on_another_machine_ends_by_expiry_only(any_redis: Redis) -> None:
    leases = Leases(any_redis)
    owner = "boot-of-another:4026531836:1:1:ab"
    fields = f"owner {owner} fence 1 progress 0 stage drawing since then".split()
    any_redis.hset("video:lease:k", items=fields)
    assert leases.acquire("k") is None
    assert not leases.holder("k").dead
    assert leases.release_dead(["k"]) == []


def test_a_holder_does_not_keep_its_process_alive(real_redis_url: str) -> None:
    script = HOLDER.replace("time.sleep(60)", "")
    ended = subprocess.run(
        [sys.executable, "-c", script, real_redis_url, "30", "k"], timeout=10, check=False
    )
    assert ended.returncode == 0


def test_a_server_that_went_away_spoils_neither_work_nor_release() -> None:
    redis = fake_redis()
    with Leases(redis, ttl_seconds=0.3).acquire("k") as lease:
        redis.connection_pool.connection_kwargs["server"].connected = False
        time.sleep(0.3)
        assert not lease.lost
        with pytest.raises(RedisUnavailable):
            lease.check()


@contextmanager
def holding(url: str, key: str, ttl: float = 30) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, str(ttl), key], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout.readline().strip().isdigit()
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("failures", [2, 3])
def test_a_lease_waits_for_the_thread_that_keeps_it_but_not_for_ever(
    any_redis: Redis, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    leases = Leases(any_redis, thread_retries=Retries((0.0, 0.0)))
    started, start = [], threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) <= failures:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    if failures == 2:
        with leases.acquire("a/b") as lease:
            assert leases.renew(lease.key, lease.owner, lease.fence, 0.5, "")
    else:
        with pytest.raises(InfrastructureError, match="can't start new thread"):
            leases.acquire("a/b")
    assert leases.holder("a/b") is None
