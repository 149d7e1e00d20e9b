"""Many processes compete for the same money, on a server that may lose its data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from spritz_cli.models import MicroUSD
from spritz_cli.storage.budget import Charge, DailyBudget
from tests.processes import ROOT

PROCESSES = 20
ROUNDS = 50
PRICE = MicroUSD(600_000)
CAP = MicroUSD(5_000_000)
AFFORDABLE = CAP // PRICE

# All processes wait for each other before each round, so that they ask at the same time.
RACER = """
import sys
from spritz_cli.storage.budget import Charge, DailyBudget
from spritz_cli.storage.redis.connection import connect

redis = connect(sys.argv[1])
name, crowd, rounds, price, cap = sys.argv[2], *map(int, sys.argv[3:])
for number in range(rounds):
    if redis.incr(f"arrived:{number}") == crowd:
        redis.rpush(f"start:{number}", *range(crowd))
    redis.blpop(f"start:{number}", 30)
    budget = DailyBudget(redis, f"round-{number}:", cap)
    if budget.reserve([Charge(name, "p/t", price, "held")]):
        print(number, flush=True)
"""

# One lock covers the reservation and its record in the journal.
JOURNALIST = """
import json, sys
from pathlib import Path
from spritz_cli.storage.budget import Charge, DailyBudget
from spritz_cli.storage.redis.connection import connect
from spritz_cli.storage.files.locks import held

budget = DailyBudget(connect(sys.argv[1]), cap_micros=int(sys.argv[5]))
journal, name, price = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sys.stdin.readline()
for number in range(10):
    charge = Charge(f"{name}-{number}", "p/t", price, "held")
    with held(journal.with_suffix(".lock")), journal.open("r+") as file:
        known = [Charge(**json.loads(line)) for line in file]
        if budget.reserve([charge], journal=known):
            file.write(json.dumps(charge._asdict()) + "\\n")
print("done", flush=True)
"""


def test_twenty_processes_never_get_more_through_than_the_cap_allows(
    real_redis: Redis, real_redis_url: str
) -> None:
    numbers = [PROCESSES, ROUNDS, PRICE, CAP]
    commands = [[RACER, real_redis_url, f"order-{i}", *numbers] for i in range(PROCESSES)]
    with running(commands) as racers:
        passed = [
            int(line) for racer in racers for line in racer.communicate(timeout=90)[0].split()
        ]
    assert [racer.returncode for racer in racers] == [0] * PROCESSES
    assert {number: passed.count(number) for number in range(ROUNDS)} == dict.fromkeys(
        range(ROUNDS), AFFORDABLE
    )
    for number in range(ROUNDS):
        day = DailyBudget(real_redis, f"round-{number}:", CAP).today()
        assert (len(day.charges), day.used) == (AFFORDABLE, AFFORDABLE * PRICE)


def test_a_server_that_loses_its_data_again_and_again_opens_no_second_budget(
    real_redis: Redis, real_redis_url: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    commands = [[JOURNALIST, real_redis_url, journal, f"process-{i}", PRICE, CAP] for i in range(6)]
    with running(commands) as writers:
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):
            real_redis.flushall()
        told = [writer.communicate(timeout=30)[0] for writer in writers]
    assert told == ["done\n"] * len(writers)
    charges = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(charges) == AFFORDABLE


def test_a_lost_server_knows_again_what_the_journal_knows(real_redis: Redis) -> None:
    budget = DailyBudget(real_redis, cap_micros=CAP)
    passed: list[Charge] = []
    for number in range(3 * AFFORDABLE):
        charge = Charge(f"order-{number}", "p/t", PRICE, "held")
        real_redis.flushall()
        if budget.reserve([charge], journal=passed):
            passed.append(charge)
        assert budget.today().used == PRICE * len(passed)
    assert len(passed) == AFFORDABLE


@contextmanager
def running(commands: list[list[object]]) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", *map(str, command)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            with process:
                pass
