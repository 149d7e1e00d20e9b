"""One trial: start a run, strike at a random instant, let the run recover, and examine."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from spritz_cli.bootstrap import Services, open_services
from spritz_cli.settings import Settings
from spritz_cli.storage.redis.connection import OpenRedis
from tests.drill.faults import Fault, Injected, Scene, clock_of, command
from tests.drill.house import FILMS, NEW, House
from tests.drill.watch import Publications, Watch

#: How long a trial waits for a run, in seconds.
PATIENCE = 90.0

#: How often the command is given again at most.
MAX_RUNS = 4

TEXT = f"There are {NEW}."


@dataclass
class Result:
    """The result of one trial. `recovery` is None if not all films became ready."""

    fault: str
    seed: int
    scene: str
    instant: float
    detail: str = ""
    struck: bool = False
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    reruns: int = 0
    recovery: float | None = None
    away: float = 0.0
    encodes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        faults = (self.lost, self.duplicates, self.stuck, self.leftovers, self.vanished)
        return not any(faults) and self.recovery is not None


def run(fault: Fault, seed: int, folder: Path, expected: dict[str, float], *, keep: bool) -> Result:
    """Run one trial; `expected` is the usual length of a run by scene, in seconds.

    With `keep`, the folder of a trial that was not clean stays.
    """
    chance = random.Random(f"{fault.name} {seed}")
    scene = chance.choice(fault.scenes)
    share = chance.random()
    result = Result(fault.name, seed, scene.name, round(share * expected[scene.name], 3))
    house = House(
        folder / f"{fault.name}-{seed}",
        scene.external,
        tcp=chance.random() < 0.5,
        # With one worker a film waits for the other, with two both are made at once.
        workers=chance.choice((1, 2)),
    )
    began = time.monotonic()
    try:
        house.prepare(folder / "base")
        with _watched(house, result) as watch:
            _rehearse(fault, scene, chance, house, watch, result)
        if result.struck:
            _examine(house, result)
    finally:
        house.clear(keep and result.struck and not (result.clean and not result.failures))
    result.seconds = round(time.monotonic() - began, 1)
    return result


@contextmanager
def _watched(house: House, result: Result) -> Iterator[Watch]:
    publications = Publications(house.videos, [f"newcomer/{topic}" for topic in FILMS])
    watch = Watch(house.url, house.videos, FILMS, TEXT)
    try:
        yield watch
    finally:
        watch.close()
        _count(publications.close(), result)
        result.vanished = watch.vanished
        result.away = round(watch.away_seconds, 2)
        result.encodes = house.encodes()


def _rehearse(
    fault: Fault,
    scene: Scene,
    chance: random.Random,
    house: House,
    watch: Watch,
    result: Result,
) -> None:
    clocks = {who: clock_of(house, who) if fault.fakes_clock else {} for who in ("worker", "run")}
    if scene.workers:
        house.start("worker", "-n", str(house.workers), extra=clocks["worker"])
        house.wait_for_workers()
    began = time.monotonic()
    first = house.start(*command(scene.modes[0], house.workers), extra=clocks["run"])
    with suppress(subprocess.TimeoutExpired):
        first.wait(max(0.0, began + result.instant - time.monotonic()))
    injected = _strike(fault, chance, house, first, watch)
    if injected is None:
        return
    result.struck, result.detail = True, injected.detail
    _recover(scene, injected, house, watch, result, clocks["run"])
    if watch.complete_at is not None:
        result.recovery = round(max(0.0, watch.complete_at - injected.ended_at), 2)
    _stop_services(house, result)


def _strike(
    fault: Fault,
    chance: random.Random,
    house: House,
    first: subprocess.Popen[bytes],
    watch: Watch,
) -> Injected | None:
    """Strike as soon as the target exists; return None if the run ends before."""
    watch.excused = fault.name == "redis-empty"
    while (injected := fault.strike(house, chance)) is None:
        if first.poll() is not None:
            return None
        time.sleep(0.01)
    return injected


def _recover(
    scene: Scene,
    injected: Injected,
    house: House,
    watch: Watch,
    result: Result,
    clock: dict[str, str],
) -> None:
    """Wait for the runs; repeat the command if it was killed or failed, or if data was lost."""
    again = injected.killed_run or injected.lost_data
    done = 0
    for _ in range(MAX_RUNS):
        runs = [run for run in house.commands if _is_run(run)][done:]
        done += len(runs)
        succeeded = [_wait(house, run, result) for run in runs]
        failed = not all(succeeded)
        if not (failed or again):
            break
        result.reruns += failed and not again
        house.start(*command(scene.modes[0], house.workers), extra=clock)
        again = False
    # The poll may lag behind, and an embedded server ends with its last client.
    with _open_services(house):
        deadline = time.monotonic() + 1.0
        while watch.complete_at is None and time.monotonic() < deadline:
            time.sleep(0.01)
    watch.excused = False


def _is_run(run: subprocess.Popen[bytes]) -> bool:
    return "warm" in run.args  # type: ignore[operator]


def _wait(house: House, run: subprocess.Popen[bytes], result: Result) -> bool:
    """Wait for a run; return whether it succeeded."""
    try:
        code = run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        result.failures.append("a run did not end")
        run.kill()
        return False
    if code not in (0, -9):
        result.failures.append(f"exit code {code}: {house.errors_of(run)}")
    return code == 0


def _stop_services(house: House, result: Result) -> None:
    """Stop `vidgen worker` like a service manager, and list the processes that remain."""
    services = [run for run in house.commands if not _is_run(run) and run.poll() is None]
    for service in services:
        service.terminate()
    for service in services:
        try:
            service.wait(20)
        except subprocess.TimeoutExpired:
            result.leftovers.append("vidgen worker did not stop")
            service.kill()
    deadline = time.monotonic() + 5.0
    while (alive := house.alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    result.leftovers += sorted(alive.values())


def _count(published: Counter[str], result: Result) -> None:
    result.duplicates = [f"{topic} × {count}" for topic, count in published.items() if count > 1]


def _examine(house: House, result: Result) -> None:
    with _open_services(house) as services:
        result.lost = [topic for topic in FILMS if not _is_whole(services, topic)]
        result.stuck = list(_stuck(services.redis.client))
    result.leftovers += _unowned_files(services, house.videos)


def _is_whole(services: Services, topic: str) -> bool:
    video = services.manifest.peek("newcomer", topic)
    if video is None or video.status != "ready" or video.text_body != TEXT:
        return False
    return services.store.verify(video)


def _stuck(client: Redis) -> Iterator[str]:
    """Yield everything that claims that work is going on: leases, entries and jobs."""
    for name in client.scan_iter("video:lease:*"):
        yield name
    for name in client.scan_iter("video:*", _type="hash"):
        if client.hget(name, "status") == "processing":
            yield f"{name} is processing"
    for name in ("rq:queue:video_generation", "rq:queue:video_generation:intermediate"):
        if waiting := client.llen(name):
            yield f"{name}: {waiting} jobs"
    if started := client.zcard("rq:wip:video_generation"):
        yield f"rq:wip: {started} jobs"


def _unowned_files(services: Services, videos: Path) -> list[str]:
    """Return the files below the videos directory that belong to no published film."""
    store = services.store
    owned = {path for film in store.videos() if film.published for path in film.paths}
    unowned = (path for path in videos.rglob("*") if path.is_file() and path not in owned)
    return [
        str(path.relative_to(videos))
        for path in unowned
        # The lock of the scratch directories may stay.
        if path != videos / ".staging" / ".lock"
    ]


@contextmanager
def _open_services(house: House) -> Iterator[Services]:
    if house.server is None:
        with open_services(house.settings) as services:
            yield services
        return
    settings: Settings = house.settings
    with Redis.from_url(house.server.url, decode_responses=True) as client:
        yield Services(settings, OpenRedis(client, house.server.url))
