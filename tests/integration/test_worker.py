"""Real RQ workers as processes, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.job import Job
from rq.utils import import_attribute

from spritz_cli.bootstrap import Services, open_services
from spritz_cli.films import planning
from spritz_cli.films.generate import generate_video
from spritz_cli.films.planning import PlanItem, ingredients
from spritz_cli.models import Template
from spritz_cli.retries import Retries
from spritz_cli.runs import common as runs, queued, worker
from spritz_cli.runs.job_queue import FUNCTION, UP_TO_THE_WORKER, JobQueue, JobState
from spritz_cli.runs.local_workers import LocalWorkers
from spritz_cli.settings import load_settings
from spritz_cli.storage.leases import LeaseInfo
from tests.processes import Family, wait_until
from tests.small import write_project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

REQUEST = worker.JobRequest("newcomer", "short", "by-hand", False, "capped", {})


@dataclass
class Hall:
    """The services, their queue, and workers that are gone after the test."""

    services: Services
    queue: JobQueue
    workers: LocalWorkers
    family: Family
    connection: Redis

    def template(self, topic: str) -> Template:
        return self.services.catalog.get("newcomer", topic)

    def enqueue(self, topic: str, **options: Any) -> tuple[str, bool]:
        template = self.template(topic)
        digest = planning.fingerprint(template, self.services.tiers)
        found = ingredients(template, self.services.tiers)
        return self.queue.enqueue(template, digest, ingredients=found, **options)

    def work_elsewhere(self, folder: Path) -> LocalWorkers:
        """Start a worker that has its own catalog and scenes, and our server and films."""
        settings = replace(
            write_project(folder, {"short": 5}, count=7), videos_dir=self.services.store.folder
        )
        workers = LocalWorkers(settings, self.services.redis.url, log=folder / "worker.log")
        workers.start(1)
        return workers

    def film_process(self) -> int:
        """Return the process that draws, which is ffmpeg's parent."""
        # By what it reads: a process also tries once whether its ffmpeg runs at all.
        encoder = min(wait_until(lambda: self.family.alive("rawvideo")))
        fields = Path(f"/proc/{encoder}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1])

    def lease(self, topic: str) -> LeaseInfo | None:
        return self.services.leases.holder(self.template(topic).key)

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
    with open_services(settings) as services:
        connection = Redis.from_url(services.redis.url)
        workers = LocalWorkers(settings, services.redis.url, log=tmp_path / "worker.log")
        queue = JobQueue(services.redis.url, settings.queue)
        yield Hall(services, queue, workers, family, connection)
        workers.stop()
        queue.close()
        connection.close()


def test_a_worker_makes_the_film_and_answers_in_the_words_of_the_contract(hall: Hall) -> None:
    job_id, created = hall.enqueue("short")
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job_id))
    video = hall.services.manifest.peek("newcomer", "short")

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
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    first = worker.generate_video_job("newcomer", "short", "by-hand")
    second = worker.generate_video_job("newcomer", "short", "by-hand")

    assert (first["status"], first["fallback_used"]) == ("success", "static")
    assert (second["status"], second["fallback_used"]) == ("success", "cache")
    assert first["url"] == second["url"]


def test_the_job_function_tells_what_failed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    scene = hall.services.settings.scenes / "card.svg.j2"
    scene.write_text("<svg>{{ nothing }}</svg>")
    failed = worker.generate_video_job("newcomer", "broken", "by-hand")
    unknown = worker.generate_video_job("newcomer", "nothing", "by-hand")

    assert (failed["status"], failed["fallback_used"], failed["url"]) == ("failed", "text", None)
    assert "nothing" in failed["error"]
    assert unknown["status"] == "failed"
    assert unknown["error"] == "Unknown topic: nothing for newcomer"


def test_a_job_that_was_queued_by_the_former_name_is_made(hall: Hall) -> None:
    former = "spritz_cli.worker.generate_video_job"
    film = {"persona": "newcomer", "topic": "short", "job_id": "x"}
    job = hall.raw().enqueue(former, kwargs=film)
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job.id))

    assert state.result["status"] == "success"
    assert import_attribute(former) is worker.generate_video_job


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
    assert not hall.family.alive("spritz_cli.runs.worker")
    assert hall.queue.live_workers() == set()


def test_a_worker_that_may_finish_makes_its_film_and_takes_no_other(hall: Hall) -> None:
    first, _ = hall.enqueue("short")
    second, _ = hall.enqueue("long")
    hall.workers.start(1)
    wait_until(lambda: hall.family.alive("ffmpeg"))
    hall.workers.finish()
    # Whoever stops a group of processes tells them all, and so does their parent.
    hall.workers.finish()

    assert hall.workers.wait() == 0
    done, left = hall.state(first), hall.state(second)
    assert done is not None
    assert done.result["status"] == "success"
    assert left is not None
    assert left.waiting


def test_a_job_that_a_worker_was_just_taking_goes_back_to_its_place(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("short")
    hall.enqueue("long")
    hall.connection.lmove("rq:queue:video_generation", "rq:queue:video_generation:intermediate")
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    leaving = worker._worker(load_settings())
    leaving._put_back_untaken(leaving.queues[0])

    assert hall.queue.waiting()[0] == job_id
    assert hall.connection.llen("rq:queue:video_generation:intermediate") == 0
    leaving.connection.close()


def test_a_job_whose_process_is_killed_before_it_began_is_put_back_once(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("short")
    hall.connection.lmove("rq:queue:video_generation", "rq:queue:video_generation:intermediate")
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    parent = worker._worker(load_settings())
    parent.after_a_kill = Retries((0.0,))
    job = Job.fetch(job_id, connection=hall.connection, serializer="json")
    gone = subprocess.Popen(["true"])
    gone.wait()
    parent.handle_work_horse_killed(job, gone.pid, signal.SIGKILL, None)
    parent.handle_job_failure(job, parent.queues[0])
    parent._put_back_untaken(parent.queues[0])

    assert hall.queue.waiting() == [job_id]
    parent.connection.close()


def test_a_job_whose_worker_was_killed_after_its_film_was_published_is_forgotten(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("short")
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    killed = worker._worker(load_settings())
    job = Job.fetch(job_id, connection=hall.connection, serializer="json")
    killed.prepare_execution(job)
    killed.connection.close()
    template = hall.template("short")
    item = PlanItem(template, "make", "new")
    with queued._Run(hall.services, 1, runs.ignore) as run:
        run._awaited[template.name] = film = queued._Awaited(item, job_id, ours=True)
        generate_video(hall.services.studio, item)
        run._try_again(film)
        outcome = run._outcomes[template.name]

    assert outcome.status == "made"
    assert hall.state(job_id) is None
    assert hall.connection.zcard("rq:wip:video_generation") == 0


def test_a_worker_that_the_server_forgot_makes_itself_known_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    forgotten = worker._worker(load_settings())
    forgotten.register_birth()
    for key in hall.connection.scan_iter("rq:*"):
        hall.connection.delete(key)
    forgotten.heartbeat()

    assert hall.queue.live_workers() == {forgotten.name}
    forgotten.register_death()
    forgotten.connection.close()


def test_a_film_whose_process_is_killed_is_begun_again(hall: Hall) -> None:
    write_project(hall.services.settings.catalog.parent, {"short": 8})
    job_id, _ = hall.enqueue("short")
    hall.workers.start(1)
    os.kill(hall.film_process(), signal.SIGKILL)

    # At once, before the next attempt: nothing is left of the first.
    wait_until(lambda: not hall.family.alive("ffmpeg"))
    wait_until(lambda: hall.lease("short") is None, 1)
    wait_until(lambda: list((hall.services.store.folder / ".staging").glob("*/")) == [], 1)
    assert wait_until(lambda: hall.ended(job_id), 30).result["status"] == "success"


@pytest.mark.slow
def test_a_film_whose_process_is_always_killed_fails(hall: Hall) -> None:
    job_id, _ = hall.enqueue("long")
    hall.workers.start(1)
    for _ in range(3):
        os.kill(hall.film_process(), signal.SIGKILL)
        wait_until(lambda: not hall.family.alive("ffmpeg"))

    state = wait_until(lambda: hall.ended(job_id))
    assert state.status == "failed"
    assert "Work-horse terminated" in state.trace


def test_a_disk_that_is_unusable_for_a_moment_costs_no_film(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    obstacle = hall.services.store.folder
    obstacle.write_text("in the way")
    mended = threading.Timer(0.4, obstacle.unlink)
    mended.start()
    made = worker.make_with_retries(REQUEST, Retries((0.6,)))
    mended.join()

    assert made["status"] == "success"


def test_a_disk_that_stays_unusable_is_told_as_the_reason(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    hall.services.store.folder.write_text("in the way")
    failed = worker.make_with_retries(REQUEST, Retries((0.01, 0.01)))

    assert (failed["status"], failed["error_kind"]) == ("failed", "StorageError")


@pytest.mark.parametrize(
    "name", ["templates.yaml", "svg_templates/card.svg.j2", "svg_templates/footage.svg.j2"]
)
def test_a_worker_with_other_files_refuses_the_job_and_says_which(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("REDIS_URL", hall.services.redis.url)
    theirs = ingredients(hall.template("short"), hall.services.tiers)
    ours = theirs | {name: "0123456789ab"}
    answer = worker.generate_video_job("newcomer", "short", "by-hand", ingredients=ours)

    assert (answer["status"], answer["fallback_used"]) == ("failed", "text")
    assert f"has another {name}: {theirs[name]}, the job was queued with 0123" in answer["error"]
    assert "same templates.yaml, svg_templates and version" in answer["hint"]
    assert hall.services.manifest.peek("newcomer", "short") is None


def test_a_run_tells_that_the_workers_have_another_catalog_and_changes_nothing(
    hall: Hall, tmp_path: Path
) -> None:
    elsewhere = hall.work_elsewhere(tmp_path / "elsewhere")
    wait_until(hall.queue.live_workers)
    template = hall.template("short")
    items = planning.plan(hall.services.studio, [template])
    (outcome,) = queued.warm(hall.services, items)
    elsewhere.stop()

    assert outcome.status == "failed"
    assert "has another templates.yaml: " in str(outcome.error)
    assert "Deploy the same templates.yaml" in str(outcome.error)
    assert hall.services.manifest.peek("newcomer", "short") is None
    assert list(hall.services.store.videos()) == []


def test_a_worker_that_was_asleep_cannot_replace_what_its_successor_published(
    hall: Hall,
) -> None:
    write_project(hall.services.settings.catalog.parent, {"short": 8})
    job_id, _ = hall.enqueue("short")
    hall.workers.start(1)
    sleeper = hall.film_process()
    asleep = wait_until(lambda: hall.lease("short"))
    os.killpg(sleeper, signal.SIGSTOP)
    # As if half a minute had passed: the lease of who does not renew it expires.
    hall.connection.delete(hall.services.leases.redis_key(hall.template("short").key))
    successor = generate_video(
        hall.services.studio, PlanItem(hall.template("short"), "make", "new")
    )
    published = hall.services.manifest.peek("newcomer", "short")
    os.killpg(sleeper, signal.SIGCONT)
    state = wait_until(lambda: hall.ended(job_id))

    assert (successor.status, asleep.dead) == ("made", False)
    assert (state.result["status"], state.result["fallback_used"]) == ("success", "cache")
    assert hall.services.manifest.peek("newcomer", "short") == published
    assert hall.lease("short") is None
    assert hall.services.store.abandoned() == []


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
    wait_until(lambda: not hall.family.alive("spritz_cli.runs.worker"), 3)
    assert hall.queue.live_workers() == set()


@pytest.mark.slow
def test_another_worker_takes_over_what_a_killed_one_left(hall: Hall) -> None:
    write_project(hall.services.settings.catalog.parent, {"short": 20})
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
        queue = JobQueue(hall.services.redis.url, "video_generation")
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
    scene = hall.services.settings.scenes / "card.svg.j2"
    scene.write_text("<svg>{{ nothing }}</svg>")
    job_id = hall.queue.enqueue_for_viewer("newcomer", "broken")
    run_id, _ = hall.enqueue("broken")
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job_id))
    wait_until(lambda: hall.ended(run_id))
    hall.workers.stop()

    assert state.result["status"] == "failed"
    assert hall.queue.enqueue_for_viewer("newcomer", "broken") == job_id
    assert hall.queue.waiting() == []
    assert hall.enqueue("broken") == (run_id, True)


def test_a_job_that_fell_out_of_the_list_is_queued_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = hall.enqueue("short")
    # A worker took it and died before it could say so.
    hall.connection.lmove("rq:queue:video_generation", "rq:queue:video_generation:intermediate")

    assert hall.enqueue("short") == (job_id, False)  # it may be starting this instant
    monkeypatch.setattr("spritz_cli.runs.job_queue._recent", lambda *_: False)
    assert hall.enqueue("short") == (job_id, True)
    assert hall.queue.waiting() == [job_id]
    assert hall.connection.llen("rq:queue:video_generation:intermediate") == 0


def test_a_heartbeat_that_outlives_its_job_is_no_job(hall: Hall) -> None:
    kept, _ = hall.enqueue("long")
    job_id, _ = hall.enqueue("short")
    job = Job.fetch(job_id, connection=hall.connection, serializer="json")
    hall.queue.forget(job_id)
    job.heartbeat(datetime.now(UTC), 30)

    assert [state and state.id for state in hall.queue.look([kept, job_id])] == [kept, None]
    assert hall.enqueue("short") == (job_id, True)
    assert hall.queue.waiting() == [kept, job_id]


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
    monkeypatch.setattr("spritz_cli.runs.job_queue._recent", lambda *_: False)

    assert hall.enqueue("long") == (job_id, True)


def test_a_job_that_ran_too_long_leaves_nothing_and_is_not_begun_again(hall: Hall) -> None:
    queue = JobQueue(hall.services.redis.url, "video_generation", job_timeout=2)
    job_id, _ = queue.enqueue(hall.template("long"), "f" * 64)
    queue.close()
    hall.workers.start(1)
    state = wait_until(lambda: hall.ended(job_id))

    assert state.status == "failed"
    assert "JobTimeoutException" in state.trace
    assert hall.lease("long") is None
    assert not hall.family.alive("ffmpeg")
    assert hall.services.store.abandoned() == []


def test_a_worker_decides_how_long_the_job_of_an_application_may_take(hall: Hall) -> None:
    queue = JobQueue(hall.services.redis.url, "video_generation", job_timeout=UP_TO_THE_WORKER)
    job_id = queue.enqueue_for_viewer("newcomer", "short")
    queue.close()
    hall.workers.start(1)
    wait_until(lambda: hall.ended(job_id))

    timeout = Job.fetch(job_id, connection=hall.connection, serializer="json").timeout
    assert timeout == hall.services.settings.job_timeout


def test_a_worker_announces_its_catalog(hall: Hall) -> None:
    hall.workers.start(1)
    names = wait_until(lambda: hall.connection.smembers("video:templates"))

    assert names == {b"newcomer/short", b"newcomer/long", b"newcomer/broken"}


def test_burst_workers_end_when_the_queue_is_empty(hall: Hall) -> None:
    job_id, _ = hall.enqueue("short")
    settings = hall.services.settings
    burst = LocalWorkers(settings, hall.services.redis.url, log=Path("burst.log"), burst=True)
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

    assert data.startswith(b'["spritz_cli.runs.worker.generate_video_job"')
