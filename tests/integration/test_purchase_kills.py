from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from spritz_cli.models import MicroUSD
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.footage import FootageStore
from tests.videos_server.videos_api import FakeVideosAPI

#: Two segments of 4 s at $0.10 a second.
FILM = 800_000
RUNS = 200


def run(redis_url: str, api: FakeVideosAPI, videos: Path, topic: str, cap: int) -> subprocess.Popen:
    arguments = (redis_url, api.base_url, str(videos), topic, str(cap))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.purchase_run", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def kill_once(process: subprocess.Popen, seconds: float) -> bool:
    """Kill a purchase `seconds` after its start; return whether it was still running."""
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    return process.returncode < 0


def finish(redis_url: str, api: FakeVideosAPI, videos: Path, topic: str, cap: int) -> str:
    """Run the purchase until it is done. Each run asks about orders with unknown outcome."""
    told = ""
    for _ in range(8):
        process = run(redis_url, api, videos, topic, cap)
        told, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            return told
        time.sleep(0.3)
    return told


def check_kills(redis_url: str, videos: Path, runs: int) -> None:
    chance = random.Random(2026)
    cap = runs * FILM
    killed: Counter[bool] = Counter()
    with FakeVideosAPI(job_seconds=0.1, poll_after_ms=1000, api_key="sk-of-this-test") as api:
        for number in range(runs):
            topic = f"film_{number}"
            for _ in range(chance.choice((1, 1, 2))):
                process = run(redis_url, api, videos, topic, cap)
                # The requests are sent at once, footage arrives after the first polls.
                moment = chance.choice((chance.uniform(0, 0.2), chance.uniform(0, 3.5)))
                killed[kill_once(process, moment)] += 1
            assert "stored" in finish(redis_url, api, videos, topic, cap), topic
            assert len(api.jobs) == 2 * (number + 1), f"{topic} was not bought exactly once"
            with Redis.from_url(redis_url, decode_responses=True) as client:
                today = DailyBudget(client, cap_micros=MicroUSD(cap)).today()
            assert (today.spent, today.held) == (FILM * (number + 1), 0)
            assert round(api.charged_usd * 1_000_000) == today.spent <= cap
    assert killed[True]
    assert {order.state for order in FootageStore(videos).all_orders()} == {"stored"}
    print(f"{runs} films, {killed[True]} kills, {len(api.jobs)} jobs, {api.posts} POSTs")


def test_a_killed_purchase_is_resumed_and_paid_once(real_redis_url: str, tmp_path: Path) -> None:
    check_kills(real_redis_url, tmp_path / "videos", 4)


@pytest.mark.long
def test_two_hundred_killed_purchases_are_paid_once_each(
    real_redis_url: str, tmp_path: Path
) -> None:
    check_kills(real_redis_url, tmp_path / "videos", RUNS)
