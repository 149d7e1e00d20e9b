"""The faults: which processes run, and what each fault does to them."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.drill.house import House, kill, pick

Mode = Literal["jobs", "sync"]

#: How long `redis-gone` takes the server away, in seconds.
GONE_SECONDS = 20.0

#: How long `out-of-memory` limits memory, in seconds.
LIMITED_SECONDS = 2.0

DAY = 86_400


@dataclass(frozen=True)
class Scene:
    """What runs in a trial: an external server or the embedded one, workers, and the runs."""

    name: str
    external: bool
    workers: bool
    modes: tuple[Mode, ...]


SERVICE = Scene("service", True, True, ("jobs",))
OWN = Scene("own workers", False, False, ("jobs",))
OWN_OUTSIDE = Scene("own workers, outer server", True, False, ("jobs",))
SYNC = Scene("sync", False, False, ("sync",))
SYNC_OUTSIDE = Scene("sync, outer server", True, False, ("sync",))


@dataclass(frozen=True)
class Injected:
    """A fault that was injected; `ended_at` is its end in monotonic seconds."""

    detail: str
    ended_at: float
    killed_run: bool = False
    lost_data: bool = False


Strike = Callable[["House", random.Random], Injected | None]


@dataclass(frozen=True)
class Fault:
    """`strike` returns None as long as its target does not exist."""

    name: str
    scenes: tuple[Scene, ...]
    strike: Strike
    fakes_clock: bool = False


def clock_of(house: House, who: str) -> dict[str, str]:
    """Return the environment of processes whose clock `set_clock` moves."""
    set_clock(house, who, 0)
    return {
        "LD_PRELOAD": str(_clock_library(house.folder.parent)),
        "DRILL_CLOCK": str(house.folder / f"clock-{who}"),
    }


def set_clock(house: House, who: str, seconds: int) -> None:
    """Shift the clock of the processes that were started with `clock_of(who)`."""
    with (house.folder / f"clock-{who}").open("r+b" if seconds else "wb") as file:
        file.write(struct.pack("q", seconds))


def can_fake_clocks() -> bool:
    return shutil.which("cc") is not None


def _clock_library(folder: Path) -> Path:
    library = folder / "clock.so"
    if not library.exists():
        source = Path(__file__).with_name("clock.c")
        options = ["-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(["cc", *options], check=True)
    return library


def _kill_one(kind: str) -> Strike:
    def strike(house: House, chance: random.Random) -> Injected | None:
        pid = pick(chance, house.members(kind))
        if pid is None:
            return None
        kill([pid])
        return Injected(f"kill -9 of {kind} {pid}", time.monotonic())

    return strike


def _kill_service(house: House, chance: random.Random) -> Injected | None:
    """Kill `vidgen worker` itself and restart it, like a service manager."""
    service = next(run for run in house.commands if "worker" in run.args)  # type: ignore[operator]
    service.kill()
    service.wait()
    house.start("worker", "-n", str(house.workers))
    return Injected("kill -9 of vidgen worker, started again", time.monotonic())


def _kill_run(house: House, chance: random.Random) -> Injected | None:
    run = house.commands[-1]
    if run.poll() is not None:
        return None
    run.kill()
    run.wait()
    return Injected("kill -9 of the run", time.monotonic(), killed_run=True)


def _restart_server(house: House, chance: random.Random) -> Injected | None:
    return _kill_server(house, chance, empty=False)


def _empty_server(house: House, chance: random.Random) -> Injected | None:
    return _kill_server(house, chance, empty=True)


def _kill_server(house: House, chance: random.Random, *, empty: bool) -> Injected | None:
    pause = chance.uniform(0.0, 2.0)
    if house.server is None:
        return _kill_embedded(house, empty=empty)
    house.server.kill()
    if empty:
        house.server.empty()
    time.sleep(pause)
    house.server.start()
    return Injected(f"server away for {pause:.1f} s", time.monotonic(), lost_data=empty)


def _kill_embedded(house: House, *, empty: bool) -> Injected | None:
    servers = house.members("server")
    if not servers:
        return None
    kill(servers)
    if empty:
        shutil.rmtree(house.settings.state_dir / "redis" / "data", ignore_errors=True)
    return Injected("embedded server killed", time.monotonic(), lost_data=empty)


def _server_gone(house: House, chance: random.Random) -> Injected | None:
    server = house.server
    assert server is not None
    suspended = chance.random() < 0.5
    if suspended:
        os.kill(server.pid, signal.SIGSTOP)
    else:
        server.kill()
    time.sleep(GONE_SECONDS)
    if suspended:
        os.kill(server.pid, signal.SIGCONT)
    else:
        server.start()
    how = "suspended" if suspended else "away"
    return Injected(f"server {how} for {GONE_SECONDS:.0f} s", time.monotonic())


def _jump(house: House, chance: random.Random) -> Injected | None:
    who = chance.choice((("worker",), ("run",), ("worker", "run")))
    offset = chance.choice((DAY, -DAY))
    for name in who:
        set_clock(house, name, offset)
    return Injected(f"clock of {' and '.join(who)} {offset:+} s", time.monotonic())


def _limit_memory(house: House, chance: random.Random) -> Injected | None:
    """For a while, give a process that draws, and its children, no more memory."""
    pid = pick(chance, [*house.members("horse"), *house.members("child")])
    if pid is None:
        return None
    with suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + chance.randrange(0, 8 << 20)
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, hard))
        time.sleep(LIMITED_SECONDS)
        with suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        return Injected(f"no more memory for {pid} at {limit >> 20} MB", time.monotonic())
    return None


def _nothing(house: House, chance: random.Random) -> Injected | None:
    return Injected("nothing", time.monotonic())


def _start_second(mode: Mode) -> Strike:
    def strike(house: House, chance: random.Random) -> Injected | None:
        house.start(*command(mode, house.workers))
        return Injected(f"a second run, {mode}", time.monotonic())

    return strike


def command(mode: Mode, workers: int) -> tuple[str, ...]:
    arguments = ("warm", "--all", "--workers", str(workers))
    return (*arguments, "--sync") if mode == "sync" else arguments


_EVERY = (SERVICE, OWN, SYNC)

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("none", _EVERY, _nothing),
        Fault("kill-worker", (SERVICE, OWN), _kill_one("worker")),
        Fault("kill-service", (SERVICE,), _kill_service),
        Fault("kill-horse", (SERVICE, OWN), _kill_one("horse")),
        Fault("kill-ffmpeg", _EVERY, _kill_one("ffmpeg")),
        Fault("kill-run-service", (SERVICE,), _kill_run),
        Fault("kill-run-own", (OWN, OWN_OUTSIDE), _kill_run),
        Fault("kill-run-sync", (SYNC, SYNC_OUTSIDE), _kill_run),
        Fault("kill-sync-child", (SYNC, SYNC_OUTSIDE), _kill_one("child")),
        Fault("redis-restart", _EVERY, _restart_server),
        Fault("redis-empty", _EVERY, _empty_server),
        Fault("redis-gone", (SERVICE, OWN_OUTSIDE, SYNC_OUTSIDE), _server_gone),
        Fault("clock-jump", (SERVICE,), _jump, fakes_clock=True),
        Fault("two-jobs-jobs", (SERVICE, OWN), _start_second("jobs")),
        Fault("two-jobs-sync", (SERVICE, OWN), _start_second("sync")),
        Fault("two-sync-sync", (SYNC, SYNC_OUTSIDE), _start_second("sync")),
        Fault("out-of-memory", _EVERY, _limit_memory),
    )
}
