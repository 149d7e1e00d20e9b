"""The function that RQ calls, and the worker (`python -m spritz_cli.runs.worker`) that runs it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NamedTuple

from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.worker import WorkerStatus
from rq.worker_registration import register

from spritz_cli.bootstrap import import_ahead, open_services
from spritz_cli.errors import RedisUnavailable, StorageError, UsageError, VidgenError
from spritz_cli.films import planning
from spritz_cli.films.generate import generate_when_free
from spritz_cli.models import Outcome, Spending, Template, manifest_key
from spritz_cli.retries import AFTER_A_KILL, Retries
from spritz_cli.runs.common import withdraw_unfinished
from spritz_cli.runs.job_queue import FUNCTIONS, MAX_RETRIES, UP_TO_THE_WORKER
from spritz_cli.runs.local_workers import STOP_AT_ONCE
from spritz_cli.runs.parent_death import die_with_parent, when_orphaned
from spritz_cli.runs.signals import kill_group
from spritz_cli.settings import Settings, load_settings
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.process_id import process_id
from spritz_cli.storage.redis.connection import connect

logger = logging.getLogger("spritz_cli")

MONITORING_SECONDS = 5
MAINTENANCE_SECONDS = 15
WORKER_TTL = 30

#: Errors that may be over in a moment: a server that is down, a disk that is full.
TRANSIENT = (RedisUnavailable, StorageError)
AFTER_AN_OUTAGE = Retries((1.0, 3.0, 10.0))

#: The reason of a film that a job asks for; the run that queued it knows a better one.
QUEUED = "queued"

#: Two stop signals within this many seconds count as one: the terminal and the parent
#: may both send it.
ONE_REQUEST_SECONDS = 1.0

#: Seconds in which a worker that took a job from the queue's list registers it as started.
TAKING_SECONDS = 0.5


def generate_video_job(
    persona: str,
    topic: str,
    job_id: str,
    force: bool = False,
    spending: Spending = "capped",
    ingredients: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make one film and return what became of it, in the words of the job contract.

    A job whose `ingredients` (planning.ingredients) differ from this host's is refused.
    After an outage of Redis or the disk the film is tried again, with pauses.
    """
    logger.info("job %s: %s/%s", job_id, persona, topic)
    request = JobRequest(persona, topic, job_id, force, spending, ingredients or {})
    return make_with_retries(request, AFTER_AN_OUTAGE)


class JobRequest(NamedTuple):
    """What a job asks for."""

    persona: str
    topic: str
    job_id: str
    force: bool
    spending: Spending
    ingredients: Mapping[str, str]


def make_with_retries(request: JobRequest, retries: Retries) -> dict[str, Any]:
    """Make the film that a job asks for; the last error becomes its result."""
    try:
        return retries.call(lambda: _result(_make(request)), TRANSIENT)
    except VidgenError as exc:
        return _refusal(exc)


def _make(request: JobRequest) -> Outcome:
    try:
        with open_services(load_settings(), patience="long") as services:
            template = services.catalog.get(request.persona, request.topic)
            _require_same(request.ingredients, planning.ingredients(template, services.tiers))
            reason = planning.FORCED if request.force else QUEUED
            item = planning.PlanItem(template, "make", reason, spending=request.spending)
            return generate_when_free(services.studio, item)
    except TRANSIENT as exc:
        logger.warning("job %s: %s", request.job_id, exc.message)
        raise


def _require_same(theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raise UsageError if a job names other files than this host has; {} names none."""
    names = [name for name in {**theirs, **ours} if theirs and theirs.get(name) != ours.get(name)]
    if not names:
        return
    name, rest = names[0], len(names) - 1
    digests = [digests.get(name, "none") for digests in (ours, theirs)]
    more = f" and {rest} more" if rest else ""
    raise UsageError(
        f"the worker on {socket.gethostname()} has another {name}{more}: "
        f"{digests[0]}, the job was queued with {digests[1]}",
        hint="Deploy the same templates.yaml, svg_templates and version of vidgen to both, "
        "then run the same command again.",
    )


def _result(outcome: Outcome) -> dict[str, Any]:
    video = outcome.video
    made_by = (video.fallback_used if video else None) or "text"
    result = {
        "status": "failed" if outcome.status == "failed" else "success",
        "url": video.url if video else None,
        "hash": video.hash if video else None,
        "fallback_used": "cache" if outcome.status == "unchanged" else made_by,
        "seconds": outcome.seconds,
    }
    return result | ({"error": outcome.error} if outcome.error else {})


def _refusal(exc: VidgenError) -> dict[str, Any]:
    return {
        "status": "failed",
        "url": None,
        "hash": None,
        "fallback_used": "text",
        "error": exc.message,
        "hint": exc.hint,
        "error_kind": type(exc).__name__,
    }


class FilmJob(Job):
    """A job that runs no function but ours.

    Anyone who can write to Redis can name any function, callback or webhook in a job.
    JSON keeps code out of jobs; this class keeps out names of code.
    """

    def _execute(self) -> Any:
        if self.func_name not in FUNCTIONS or self.instance is not None or self.args:
            raise UsageError(f"this worker makes films, it does not run {self.func_name}")
        attempt = 1 + _retries_made(self)
        return {**generate_video_job(**self.kwargs), "attempt": attempt}

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        return None


class FilmWorker(Worker):
    """Forks for each job; no process outlives the worker, and no job is lost with it.

    On SIGTERM or SIGINT it finishes its film and takes no other job. On a second
    signal, or on STOP_AT_ONCE, it aborts the film and requeues the job.
    """

    job_class = FilmJob
    after_a_kill = AFTER_A_KILL
    _asked_at = 0.0
    _at_once = False
    _failed = False
    _in_maintenance = False

    @property
    def broke_off(self) -> bool:
        """Whether the worker ended because it lost the server."""
        return self._failed

    def work(self, burst: bool = False, *args: Any, **kwargs: Any) -> bool:
        worked = super().work(burst, *args, **kwargs)
        self._failed |= not (burst or self._stop_requested)
        return worked

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Return three heartbeats, without RQ's extra minute, to detect a dead worker soon."""
        return 3 * int(self.job_monitoring_interval)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Register again as well: the server may have lost its data."""
        super().heartbeat(timeout, pipeline)
        connection = self.connection if pipeline is None else pipeline
        connection.hset(self.key, mapping=self.serialize())
        register(self, pipeline)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Finish the current film and exit; on a second request exit at once."""
        if not self._stop_requested:
            self._asked_at = time.monotonic()
            self._stop_requested = True
            self._leave_if_idle()
        elif time.monotonic() - self._asked_at > ONE_REQUEST_SECONDS:
            self.request_force_stop(signum, frame)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Abort the current film, requeue its job and exit."""
        self._stop_requested = self._at_once = True
        self._kill_film()
        self._leave_if_idle()

    def run_maintenance_tasks(self) -> None:
        # A worker that exits halfway would hold RQ's maintenance lock for a quarter of an hour.
        self._in_maintenance = True
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        finally:
            self._in_maintenance = False
        if self._stop_requested:
            raise StopRequested

    def execute_job(self, job: Job, queue: Queue) -> None:
        if job.timeout == UP_TO_THE_WORKER:
            job.timeout = round(load_settings().job_timeout)
        try:
            super().execute_job(job, queue)
        except StopRequested:
            raise
        except Exception:
            self._failed = True
            raise

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        super().fork_work_horse(job, queue)
        # The request may have arrived just before the fork.
        if self._at_once:
            self._kill_film()

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Any) -> None:
        group = self.horse_pid
        super().monitor_work_horse(job, queue, execution)
        kill_group(group)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Clean up after a killed film process, before its job is requeued."""
        super().handle_work_horse_killed(  # type: ignore[no-untyped-call]
            job, retpid, ret_val, rusage
        )
        kill_group(retpid)
        for queue in self.queues:
            # If it was killed before it began, RQ would requeue the job a second time from here.
            queue.intermediate_queue.remove(job.id)
        _clean_up(job)
        if job.retries_left:
            pauses = self.after_a_kill.pauses
            self._pause(pauses[min(_retries_made(job), len(pauses) - 1)])

    def handle_job_failure(self, job: Job, queue: Queue, *args: Any, **kwargs: Any) -> None:
        if self._at_once and not self.is_horse:
            # The worker was asked to stop: this is not a failed attempt.
            job.retries_left = (job.retries_left or 0) + 1
        elif self._failed_of_itself(job):
            job.retries_left = 0
        super().handle_job_failure(job, queue, *args, **kwargs)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        signal.signal(STOP_AT_ONCE, signal.SIG_DFL)
        when_orphaned(os.getppid(), lambda: os.killpg(0, signal.SIGKILL))
        super().main_work_horse(job, queue)

    def teardown(self) -> None:
        """Return a job that was taken but not started; do not wait for a server that is down."""
        self.connection.set_retry(Retry(NoBackoff(), 1))
        with suppress(RedisError):
            for queue in self.queues:
                self._put_back_untaken(queue)
            super().teardown()  # type: ignore[no-untyped-call]

    def unsubscribe(self) -> None:
        """Stop the command thread without waiting a second for it."""
        thread: Any = self.pubsub_thread
        if thread:
            thread.stop()

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        signal.signal(STOP_AT_ONCE, self.request_force_stop)

    def _leave_if_idle(self) -> None:
        if not self._in_maintenance and self.get_state() != WorkerStatus.BUSY:
            raise StopRequested

    def _kill_film(self) -> None:
        if self.horse_pid:
            # A work horse that was just forked has no process group of its own yet.
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGKILL)
            kill_group(self.horse_pid)

    def _failed_of_itself(self, job: Job) -> bool:
        """Whether the film itself failed, rather than its process or worker being killed."""
        if self.is_horse:
            return not isinstance(sys.exception(), MemoryError | RedisError)
        taken = (job.ended_at - job.started_at) if job.ended_at and job.started_at else None
        return taken is not None and taken.total_seconds() > float(job.timeout or 0) > 0

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop_requested and time.monotonic() < end:
            time.sleep(0.1)

    def _put_back_untaken(self, queue: Queue) -> None:
        """Return a job that a stop request kept this worker from starting to the queue's list."""
        between = queue.intermediate_queue
        if not between.get_job_ids():
            return
        time.sleep(TAKING_SECONDS)
        for job_id in between.get_job_ids():
            begun = job_id in queue.started_job_registry
            if not begun and self.connection.lrem(between.key, 1, job_id):
                queue.push_job_id(job_id, at_front=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker until it is asked to stop; return its exit code."""
    options = _options(arguments)
    if options.parent:
        die_with_parent(options.parent, STOP_AT_ONCE)
    settings = load_settings()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=settings.log)
    try:
        templates = _preload(settings)
        worker = _worker(settings, options.tag)
        if templates:
            VideoManifest(worker.connection, settings.key_prefix).announce(templates)
        worker.work(burst=options.burst, logging_level=settings.log)
    except VidgenError as exc:
        logger.error("%s %s", exc.message, exc.hint)  # noqa: TRY400
        return exc.exit_code
    return RedisUnavailable.exit_code if worker.broke_off else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spritz_cli.runs.worker")
    parser.add_argument("--burst", action="store_true", help="exit when the queue is empty")
    parser.add_argument("--parent", type=int, help="exit when this process does")
    parser.add_argument("--tag", default="", help="part of its name, shows who started it")
    return parser.parse_args(arguments)


def _worker(settings: Settings, tag: str = "") -> FilmWorker:
    if settings.redis_url is None:
        raise RedisUnavailable(
            "a worker needs a server that others can reach", hint="Set REDIS_URL."
        )
    connection = connect(settings.redis_url, "long", decode_responses=False)
    queue = Queue(settings.queue, connection=connection, job_class=FilmJob, serializer="json")
    return FilmWorker(
        [queue],
        name=f"{process_id()}:{tag}{uuid.uuid4().hex[:8]}",
        connection=connection,
        serializer="json",
        job_monitoring_interval=MONITORING_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=WORKER_TTL,
    )


def _preload(settings: Settings) -> Sequence[Template]:
    """Import what a film needs before the first fork, so that each job starts at once.

    Returns the templates of the catalog: none if it is not valid.
    """
    from spritz_cli.catalog.loader import load_catalog

    import_ahead()
    # An invalid catalog may be fixed while the worker waits; each job reads it again.
    with suppress(UsageError):
        return load_catalog(settings.catalog, settings.scenes, settings.state_dir).templates
    return ()


def _retries_made(job: Job) -> int:
    return max(0, MAX_RETRIES - (job.retries_left or 0))


def _clean_up(job: Job) -> None:
    """Free the lease of a killed film and remove its scratch files."""
    film = str(job.kwargs.get("persona")), str(job.kwargs.get("topic"))
    with suppress(VidgenError), open_services(load_settings(), ping=False) as services:
        withdraw_unfinished(services, [manifest_key(*film)])
        services.store.sweep()


if __name__ == "__main__":
    # Jobs name this module by its real name: run that instance, not `__main__`.
    from spritz_cli.runs.worker import main as run

    sys.exit(run())
