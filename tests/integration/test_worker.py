"""Real RQ workers as processes, on a real server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.job import Job

from spritz_cli import pipeline, worker
from spritz_cli.bootstrap import Production, open_production
from spritz_cli.job_queue import FUNCTION, JobQueue, JobState
from spritz_cli.local_workers import LocalWorkers
from spritz_cli.models import Template
from tests.processes import Family, wait_until
from tests.small import write_project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@dataclass
class Hall:
    """A production, its queue, and workers that are gone after the test."""

    production: Production
    queue: JobQueue
    workers: LocalWorkers
    family: Family
    connection: Redis

    def template(self, topic: str) -> Template:
        return self.production.catalog.get("newcomer", topic)

    def enqueue(self, topic: str, **options: Any) -> tuple[str, bool]:
        template = self.template(topic)
        digest = pipeline.fingerprint(template, self.production.tiers)
        return self.queue.enqueue(template, digest, **options)

    def state(self, job_id: str) -> JobState | None:
        return self.queue.look([job_id])[0]

    def ended(self, job_id: str) -> JobState | None:
        state = self.state(job_id)
        return state if state and state.status in ("finished", "failed") else None

    def raw(self) -> Queue:
        """The queue as anybody who can write to the server may use it."""
        return Queue("video_generation", connection=self.connection, serializer="json")


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    settings = write_project(tmp_path, {"short": 5, "long": 60, "broken": 5})
    monkeypatch.chdir(tmp_path)
    family = Family()
    monkeypatch.setenv(*family.mark.split("="))
    with open_production(settings) as production:
        connection = Redis.from_url(production.redis.url)
        workers = LocalWorkers(settings, production.redis.url, log=tmp_path / "worker.log")
        queue = JobQueue(production.redis.url, settings.queue)
        yield Hall(production, queue, workers, family, connection)
        workers.stop()
        queue.close()
        connection.close()


def test_a_worker_makes_the_film_and_answers_in_the_words_of_the_contract(hall: Hall) -> None:
    job_id, created = hall.enqueue("short")
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job_id))
    video = hall.production.manifest.peek("newcomer", "short")

    assert created
    assert video is not None
    assert (
        state.result.items()
        >= {
            "status": "success",
            "url": video.url,
            "hash": video.hash,
            "fallback_used": "static",
        }.items()
    )


def test_the_job_function_answers_cache_when_there_is_nothing_to_do(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", hall.production.redis.url)
    first = worker.generate_video_job("newcomer", "short", "by-hand")
    second = worker.generate_video_job("newcomer", "short", "by-hand")

    assert (first["status"], first["fallback_used"]) == ("success", "static")
    assert (second["status"], second["fallback_used"]) == ("success", "cache")
    assert first["url"] == second["url"]


def test_the_job_function_tells_what_failed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", hall.production.redis.url)
    scene = hall.production.settings.scenes / "card.svg.j2"
    scene.write_text("<svg>{{ nothing }}</svg>")
    failed = worker.generate_video_job("newcomer", "broken", "by-hand")
    unknown = worker.generate_video_job("newcomer", "nothing", "by-hand")

    assert (failed["status"], failed["fallback_used"], failed["url"]) == ("failed", "text", None)
    assert "nothing" in failed["error"]
    assert unknown["status"] == "failed"
    assert unknown["error"] == "Unknown topic: nothing for newcomer"


@pytest.mark.parametrize("name", ["os.system", "spritz_cli.hooks.run_cleanup"])
def test_a_worker_runs_no_other_function(hall: Hall, tmp_path: Path, name: str) -> None:
    spoiled = tmp_path / "spoiled"
    job = hall.raw().enqueue(name, f"touch '{spoiled}'")
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job.id))

    assert state.status == "failed"
    assert "this worker makes films" in state.error
    assert not spoiled.exists()


def test_a_worker_imports_no_callback(hall: Hall, tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'spoiled')!r}, 'w')\n")
    trap = Callback("trap.spring")
    job = hall.raw().enqueue(
        FUNCTION,
        kwargs={"persona": "newcomer", "topic": "nothing", "job_id": "x"},
        on_success=trap,
        on_failure=trap,
        on_stopped=trap,
    )
    hall.workers.start(1)

    assert wait_until(lambda: hall.ended(job.id)).status == "finished"
    assert not (tmp_path / "spoiled").exists()


def test_a_worker_that_is_told_to_stop_puts_its_film_back(hall: Hall) -> None:
    job_id, _ = hall.enqueue("long")
    hall.workers.start(1)
    wait_until(lambda: hall.family.alive("ffmpeg"))
    hall.workers.stop(grace_seconds=30)

    state = hall.state(job_id)
    assert state is not None
    assert (state.status, state.waiting) == ("queued", True)
    assert not hall.family.alive("ffmpeg")
    assert not hall.family.alive("spritz_cli.worker")
    assert hall.queue.live_workers() == set()


def test_stopping_again_and_again_never_fails_a_film(hall: Hall) -> None:
    job_id, _ = hall.enqueue("long")
    for _ in range(3):
        hall.workers.start(1)
        wait_until(lambda: hall.family.alive("ffmpeg"))
        hall.workers.stop()
    state = hall.state(job_id)

    assert state is not None
    assert state.status == "queued"


def test_a_film_dies_with_its_worker(hall: Hall) -> None:
    hall.enqueue("long")
    hall.workers.start(1)
    wait_until(lambda: hall.family.alive("ffmpeg"))
    (parent,) = hall.queue.live_workers()
    os.kill(int(parent.split(":")[2]), signal.SIGKILL)

    wait_until(lambda: not hall.family.alive("ffmpeg"), 3)
    wait_until(lambda: not hall.family.alive("spritz_cli.worker"), 3)
    assert hall.queue.live_workers() == set()


@pytest.mark.slow
def test_another_worker_takes_over_what_a_killed_one_left(hall: Hall) -> None:
    write_project(hall.production.settings.catalog.parent, {"short": 20})
    job_id, _ = hall.enqueue("short")
    hall.workers.start(1)
    wait_until(lambda: hall.family.alive("ffmpeg"))
    (parent,) = hall.queue.live_workers()
    os.kill(int(parent.split(":")[2]), signal.SIGKILL)
    wait_until(lambda: not hall.workers.running)
    hall.workers.start(1)

    assert wait_until(lambda: hall.ended(job_id), 60).result["status"] == "success"


def test_sixteen_requests_at_once_make_one_job(hall: Hall) -> None:
    results: list[tuple[str, bool]] = []
    template = hall.template("short")

    def ask() -> None:
        queue = JobQueue(hall.production.redis.url, "video_generation")
        results.append(queue.enqueue(template, "f" * 64))
        queue.close()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(created for _, created in results) == [False] * 15 + [True]
    assert hall.queue.waiting() == [results[0][0]]


def test_forced_jobs_are_all_their_own(hall: Hall) -> None:
    ids = [hall.enqueue("short", force=True)[0] for _ in range(2)]

    assert hall.queue.waiting() == ids
    assert ids[0] != ids[1]


def test_a_job_that_is_over_makes_room_for_the_next(hall: Hall) -> None:
    job_id, _ = hall.enqueue("short")
    hall.workers.start(1)
    wait_until(lambda: hall.ended(job_id))
    hall.workers.stop()

    assert hall.enqueue("short") == (job_id, True)
    assert hall.queue.waiting() == [job_id]


def test_a_film_that_just_failed_is_not_queued_again_for_a_viewer(hall: Hall) -> None:
    scene = hall.production.settings.scenes / "card.svg.j2"
    scene.write_text("<svg>{{ nothing }}</svg>")
    job_id, _ = hall.enqueue("broken")
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job_id))
    hall.workers.stop()

    assert state.result["status"] == "failed"
    assert hall.enqueue("broken", cool_down=True) == (job_id, False)
    assert hall.enqueue("broken") == (job_id, True)


def test_a_job_that_fell_out_of_the_list_is_queued_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("short")
    # A worker took it and died before it could say so.
    hall.connection.lmove("rq:queue:video_generation", "rq:queue:video_generation:intermediate")

    assert hall.enqueue("short") == (job_id, False)  # it may be starting this instant
    monkeypatch.setattr("spritz_cli.job_queue._recent", lambda *_: False)
    assert hall.enqueue("short") == (job_id, True)
    assert hall.queue.waiting() == [job_id]
    assert hall.connection.llen("rq:queue:video_generation:intermediate") == 0


def test_a_started_job_whose_worker_is_gone_is_queued_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("long")
    hall.workers.start(1)
    wait_until(lambda: hall.family.alive("ffmpeg"))
    assert hall.enqueue("long") == (job_id, False)
    (parent,) = hall.queue.live_workers()
    os.kill(int(parent.split(":")[2]), signal.SIGKILL)
    wait_until(lambda: not hall.queue.live_workers())
    monkeypatch.setattr("spritz_cli.job_queue._recent", lambda *_: False)

    assert hall.enqueue("long") == (job_id, True)


def test_a_job_that_ran_too_long_leaves_no_lease_and_no_process(hall: Hall) -> None:
    template = hall.template("long")
    job = hall.raw().enqueue(
        FUNCTION,
        kwargs={"persona": "newcomer", "topic": "long", "job_id": "x"},
        job_timeout=2,
    )
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job.id))

    assert "JobTimeoutException" in state.trace
    assert hall.production.leases.holder(template.key) is None
    assert not hall.family.alive("ffmpeg")
    assert hall.production.store.abandoned() == []


def test_burst_workers_end_when_the_queue_is_empty(hall: Hall) -> None:
    job_id, _ = hall.enqueue("short")
    settings = hall.production.settings
    burst = LocalWorkers(settings, hall.production.redis.url, log=Path("burst.log"), burst=True)
    burst.start(2)

    assert burst.wait() == 0
    assert (state := hall.ended(job_id))
    assert state.result["status"] == "success"
    burst.stop()


def test_a_worker_without_a_server_says_so() -> None:
    assert worker.main([]) == 3


def test_jobs_are_json(hall: Hall) -> None:
    job_id, _ = hall.enqueue("short")
    data = Job.fetch(job_id, connection=hall.connection, serializer="json").data

    assert data.startswith(b'["spritz_cli.worker.generate_video_job"')
