"""Runs as real processes with an embedded server, real films, and real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.bootstrap import open_services
from spritz_cli.models import Template
from spritz_cli.settings import Settings, load_settings
from tests.processes import ROOT, Family, wait_until
from tests.small import write_project

RUN = ROOT / "tests" / "warm_run.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

both_modes = pytest.mark.parametrize("mode", ["sync", "jobs"])


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    for pid in family.alive():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def outcomes(run: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    return dict(json.loads(output))


def statuses(run: subprocess.Popen[str]) -> list[str]:
    return [status for status, _ in outcomes(run).values()]


def nobody_is_left(family: Family) -> bool:
    return not family.alive()


def assert_nothing_is_left(settings: Settings) -> None:
    with open_services(settings) as services:
        films: tuple[Template, ...] = services.catalog.templates
        assert services.leases.holders([film.key for film in films]) == [None] * len(films)
        assert services.store.abandoned() == []
        assert all(stored.published for stored in services.store.videos())


@both_modes
def test_a_run_makes_every_film_and_leaves_no_process(
    tmp_path: Path, family: Family, mode: str
) -> None:
    settings = write_project(tmp_path, {"one": 5, "two": 5, "three": 6})

    assert statuses(family.start(RUN, mode, tmp_path)) == ["made"] * 3
    wait_until(lambda: nobody_is_left(family), 5)
    assert_nothing_is_left(settings)
    assert statuses(family.start(RUN, mode, tmp_path)) == ["unchanged"] * 3


def test_both_modes_make_the_same_bytes(tmp_path: Path, family: Family) -> None:
    hashes = []
    for mode in ("sync", "jobs"):
        settings = write_project(tmp_path / mode, {"one": 5})
        assert statuses(family.start(RUN, mode, tmp_path / mode)) == ["made"]
        with open_services(settings) as services:
            video = services.manifest.peek("newcomer", "one")
            assert video is not None
            hashes.append(video.sha256)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("modes", [("sync", "sync"), ("jobs", "jobs"), ("sync", "jobs")])
def test_runs_at_the_same_time_make_each_film_once(
    tmp_path: Path, family: Family, modes: tuple[str, str]
) -> None:
    settings = write_project(tmp_path, {"one": 5, "two": 5, "three": 5})
    runs = [family.start(RUN, mode, tmp_path, "1") for mode in modes]
    found = [outcomes(run) for run in runs]

    for name in found[0]:
        # By one of the two; the other found it made, or waited for the job that made it.
        told = [run[name][0] for run in found]
        assert told.count("made") == 1
        assert {"unchanged", "joined"} & set(told)
    with open_services(settings) as services:
        assert len(list(services.store.videos())) == 3
    assert_nothing_is_left(settings)
    wait_until(lambda: nobody_is_left(family), 5)


@both_modes
def test_ctrl_c_leaves_no_process_lease_or_scratch_file(
    tmp_path: Path, family: Family, mode: str
) -> None:
    settings = write_project(tmp_path, {"one": 60, "two": 60, "three": 5})
    run = family.start(RUN, mode, tmp_path)
    wait_until(lambda: family.alive("ffmpeg"))
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=15)

    assert (run.returncode, errors) == (130, "")
    wait_until(lambda: nobody_is_left(family), 5)
    assert_nothing_is_left(settings)
    assert not list((tmp_path / "videos" / ".staging").glob("*/film.mp4"))


#: A run whose child processes never get beyond importing it, and say that they do.
SLOW_TO_START = """\
import os, sys, time
from pathlib import Path

if __name__ == "__mp_main__":
    (Path(sys.argv[2]) / f"starting-{os.getpid()}").touch()
    time.sleep(60)
else:
    from tests.warm_run import main

    sys.exit(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_ctrl_c_while_the_processes_of_a_run_start_is_no_news_to_them(
    tmp_path: Path, family: Family, number: signal.Signals
) -> None:
    settings = write_project(tmp_path, {"one": 60, "two": 60})
    (tmp_path / "slow.py").write_text(SLOW_TO_START)
    run = family.start(tmp_path / "slow.py", "sync", tmp_path)
    starting = wait_until(lambda: pids if len(pids := started(tmp_path)) == 2 else None)
    for pid in starting:
        os.kill(pid, number)
    time.sleep(0.2)

    assert starting <= set(family.alive())
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=15)
    assert (run.returncode, errors) == (130, "")
    wait_until(lambda: nobody_is_left(family), 5)
    assert_nothing_is_left(settings)


def started(folder: Path) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in folder.glob("starting-*")}


@both_modes
def test_after_kill_9_of_a_run_nothing_goes_on_and_the_next_run_completes(
    tmp_path: Path, family: Family, mode: str
) -> None:
    settings = write_project(tmp_path, {"one": 30})
    run = family.start(RUN, mode, tmp_path)
    wait_until(lambda: family.alive("ffmpeg"))
    run.kill()
    run.communicate()

    wait_until(lambda: not family.alive("python") and not family.alive("ffmpeg"), 8)
    write_project(tmp_path, {"one": 5})
    # The job that the killed run left in the queue may be the one that makes it.
    (status,) = statuses(family.start(RUN, mode, tmp_path))
    assert status == "made" or (mode, status) == ("jobs", "joined")
    assert_nothing_is_left(settings)


def kill_the_maker(family: Family, *, but: int = 0) -> int:
    """Kill the process that draws, once it does, and return its id."""
    wait_until(lambda: family.alive("ffmpeg"))
    (maker,) = wait_until(lambda: set(family.alive("spawn_main")) - {but})
    os.kill(maker, signal.SIGKILL)
    wait_until(lambda: not family.alive("ffmpeg"))
    return maker


def test_a_killed_film_process_costs_no_film(tmp_path: Path, family: Family) -> None:
    settings = write_project(tmp_path, {"long": 20, "short": 5})
    run = family.start(RUN, "sync", tmp_path, "1")
    kill_the_maker(family)

    assert statuses(run) == ["made", "made"]
    assert_nothing_is_left(settings)


def test_a_film_whose_process_is_always_killed_fails_and_is_not_left_in_processing(
    tmp_path: Path, family: Family
) -> None:
    settings = write_project(tmp_path, {"long": 60})
    run = family.start(RUN, "sync", tmp_path, "1")
    maker = 0
    for _ in range(3):
        maker = kill_the_maker(family, but=maker)

    (status, error) = outcomes(run)["newcomer/long"]
    assert status == "failed"
    assert "ended early 3 times: it was killed, perhaps because the machine" in error
    with open_services(settings) as services:
        assert services.manifest.peek("newcomer", "long") is None
    assert_nothing_is_left(settings)


def test_a_killed_worker_costs_no_film(tmp_path: Path, family: Family) -> None:
    settings = write_project(tmp_path, {"one": 20, "two": 5})
    run = family.start(RUN, "jobs", tmp_path, "1")
    wait_until(lambda: family.alive("ffmpeg"))
    workers = family.alive("spritz_cli.runs.worker")
    os.kill(min(workers), signal.SIGKILL)

    assert statuses(run) == ["made", "made"]
    assert_nothing_is_left(settings)


def test_an_interrupted_run_does_not_take_its_films_from_another_run(
    tmp_path: Path, family: Family
) -> None:
    settings = write_project(tmp_path, {"one": 15, "two": 5})
    first = family.start(RUN, "jobs", tmp_path, "1")
    wait_until(lambda: family.alive("ffmpeg"))
    second = family.start(RUN, "jobs", tmp_path, "1")
    with open_services(load_settings({}, tmp_path)) as services:
        # The second has joined once it listens to the server as a client.
        wait_until(lambda: len(services.redis.client.client_list()) > 6)
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=15)

    assert statuses(second) == ["made", "made"]
    assert_nothing_is_left(settings)
    wait_until(lambda: nobody_is_left(family), 5)


@pytest.mark.parametrize("forgotten", ["rq:*", "*"], ids=["queue", "everything"])
def test_a_server_that_forgets_its_jobs_while_they_run_costs_no_film(
    tmp_path: Path, family: Family, forgotten: str
) -> None:
    settings = write_project(tmp_path, {"one": 6})
    run = family.start(RUN, "jobs", tmp_path, "1")
    wait_until(lambda: family.alive("ffmpeg"))
    with open_services(settings) as services:
        for key in services.redis.client.scan_iter(forgotten):
            services.redis.client.delete(key)

    assert statuses(run) == ["made"]
    assert_nothing_is_left(settings)
