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
from typing import Any

from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.worker import WorkerStatus
from rq.worker_registration import register

from spritz_cli.bootstrap import Services, import_ahead, open_services
from spritz_cli.errors import RedisUnavailable, StorageError, UsageError, VidgenError
from spritz_cli.films.generate import Spending, generate_when_free
from spritz_cli.films.planning import ingredients as ingredients_here
from spritz_cli.models import Outcome, Template, manifest_key
from spritz_cli.runs.common import withdraw_unfinished
from spritz_cli.runs.job_queue import FUNCTIONS, MAX_RETRIES, UP_TO_THE_WORKER
from spritz_cli.runs.local_workers import STOP_AT_ONCE
from spritz_cli.runs.parent_death import die_with_parent, when_orphaned
from spritz_cli.settings import Settings, load_settings
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.process_id import process_id
from spritz_cli.storage.redis.connection import connect

logger = logging.getLogger("spritz_cli")

MONITORING_SECONDS = 5
MAINTENANCE_SECONDS = 15
WORKER_TTL = 30

#: What may be over in a moment: a server that is away, a disk that is full.
TRANSIENT = (RedisUnavailable, StorageError)
#: Before each further attempt at such a film, in seconds.
PAUSES = (1.0, 3.0, 10.0)

#: Before a film is put back whose process was killed, so that memory can be freed, in seconds.
KILLED_PAUSES = (1.0, 4.0)

#: Who is told twice within this time was told once, by two of those who may tell, in seconds.
ONE_REQUEST_SECONDS = 1.0

#: Time in which a worker that took a job from the queue's list shows that it has it, in seconds.
TAKING_SECONDS = 0.5


def generate_video_job(
    persona: str,
    topic: str,
    job_id: str,
    force: bool = False,
    spending: Spending = "capped",
    ingredients: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make one film and say what became of it, in the words of the job contract.

    Where `ingredients` (planning.ingredients) differ from what this host has,
    it makes none. What may be over in a moment is tried again, with pauses.
    """
    logger.info("job %s: %s/%s", job_id, persona, topic)
    pauses = iter(PAUSES)
    while True:
        try:
            return _answer(persona, topic, force, spending, ingredients or {})
        except TRANSIENT as exc:
            pause = next(pauses, None)
            if pause is None:
                return _refusal(exc)
            logger.warning("job %s: %s; trying again in %.0f s", job_id, exc.message, pause)
            time.sleep(pause)
        except VidgenError as exc:
            return _refusal(exc)


def _answer(
    persona: str, topic: str, force: bool, spending: Spending, ingredients: Mapping[str, str]
) -> dict[str, Any]:
    settings = load_settings()
    if spending == "unlimited":
        settings = settings.without_cap()
    with open_services(settings, patience="long") as services:
        template = services.catalog.get(persona, topic)
        _require_same(ingredients, ingredients_here(template, services.tiers))
        return _result(_generate(services, template, force, spending))


def _require_same(theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Refuse a job that was queued for other files; one that does not tell is fine."""
    names = [name for name in {**theirs, **ours} if theirs and theirs.get(name) != ours.get(name)]
    if not names:
        return
    name, rest = names[0], len(names) - 1
    digests = [found.get(name, "none") for found in (ours, theirs)]
    more = f" and {rest} more" if rest else ""
    raise UsageError(
        f"the worker on {socket.gethostname()} has another {name}{more}: "
        f"{digests[0]}, the job was queued with {digests[1]}",
        hint="Deploy the same templates.yaml, svg_templates and version of vidgen to both, "
        "then run the same command again.",
    )


def _generate(services: Services, template: Template, force: bool, spending: Spending) -> Outcome:
    return generate_when_free(
        template,
        store=services.store,
        manifest=services.manifest,
        leases=services.leases,
        tiers=services.tiers,
        force=force,
        spending=spending,
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
    """A job that runs our function or none.

    Whoever can write to Redis can name any function, callback or address in a
    job; JSON keeps them from sending code, this class from naming it.
    """

    def _execute(self) -> Any:
        if self.func_name not in FUNCTIONS or self.instance is not None or self.args:
            raise UsageError(f"this worker makes films, it does not run {self.func_name}")
        return generate_video_job(**self.kwargs)

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
    """Forks for each job; nothing that it started outlives it, and no job is lost with it.

    Told to stop (SIGTERM, SIGINT), it finishes the film in the making and takes
    no other. Told again, or to stop at once, it ends the film and puts the job back.
    """

    job_class = FilmJob
    _asked_at = 0.0
    _at_once = False
    _failed = False
    _minding = False

    @property
    def broke_off(self) -> bool:
        """Whether it lost the server rather than being told to stop or finding no more work."""
        return self._failed

    def work(self, burst: bool = False, *args: Any, **kwargs: Any) -> bool:
        worked = super().work(burst, *args, **kwargs)
        self._failed |= not (burst or self._stop_requested)
        return worked

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Three heartbeats, not RQ's extra minute: a job whose worker died is found soon."""
        return 3 * int(self.job_monitoring_interval)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Be known again, too, if the server forgot who listens."""
        super().heartbeat(timeout, pipeline)
        connection = self.connection if pipeline is None else pipeline
        connection.hset(self.key, mapping=self.serialize())
        register(self, pipeline)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Finish the film in the making and leave; if told so before, leave at once."""
        if not self._stop_requested:
            self._asked_at = time.monotonic()
            self._stop_requested = True
            self._leave_if_idle()
        elif time.monotonic() - self._asked_at > ONE_REQUEST_SECONDS:
            self.request_force_stop(signum, frame)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End the film in the making, put its job back and leave."""
        self._stop_requested = self._at_once = True
        self._kill_film()
        self._leave_if_idle()

    def run_maintenance_tasks(self) -> None:
        # Who left in the midst would keep the others from it for a quarter of an hour.
        self._minding = True
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        finally:
            self._minding = False
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
        # The request may have come just before there was anything to kill.
        if self._at_once:
            self._kill_film()

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Any) -> None:
        group = self.horse_pid
        super().monitor_work_horse(job, queue, execution)
        _kill_group(group)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Tidy up after a film whose process could not, before its job is put back."""
        super().handle_work_horse_killed(  # type: ignore[no-untyped-call]
            job, retpid, ret_val, rusage
        )
        _kill_group(retpid)
        for queue in self.queues:
            # Killed before it had begun: RQ would put the job back a second time from here.
            queue.intermediate_queue.remove(job.id)
        _tidy_up(job)
        if job.retries_left:
            self._pause(KILLED_PAUSES[min(_retries_made(job), len(KILLED_PAUSES) - 1)])

    def handle_job_failure(self, job: Job, queue: Queue, *args: Any, **kwargs: Any) -> None:
        if self._at_once and not self.is_horse:
            # It did not fail: it was asked to stop, so this attempt does not count.
            job.retries_left = (job.retries_left or 0) + 1
        elif self._failed_of_itself(job):
            job.retries_left = 0
        super().handle_job_failure(job, queue, *args, **kwargs)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        signal.signal(STOP_AT_ONCE, signal.SIG_DFL)
        when_orphaned(os.getppid(), lambda: os.killpg(0, signal.SIGKILL))
        super().main_work_horse(job, queue)

    def teardown(self) -> None:
        """Leave no job between the queue and us; a server that is away is not waited for."""
        self.connection.set_retry(Retry(NoBackoff(), 1))
        with suppress(RedisError):
            for queue in self.queues:
                self._put_back_untaken(queue)
            super().teardown()  # type: ignore[no-untyped-call]

    def unsubscribe(self) -> None:
        """Leave the command channel without waiting a second for its thread."""
        thread: Any = self.pubsub_thread
        if thread:
            thread.stop()

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        signal.signal(STOP_AT_ONCE, self.request_force_stop)

    def _leave_if_idle(self) -> None:
        if not self._minding and self.get_state() != WorkerStatus.BUSY:
            raise StopRequested

    def _kill_film(self) -> None:
        if self.horse_pid:
            # A horse that was forked this instant is not in a group of its own yet.
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGKILL)
            _kill_group(self.horse_pid)

    def _failed_of_itself(self, job: Job) -> bool:
        """Whether the film would fail again: not if its process or worker was killed."""
        if self.is_horse:
            return not isinstance(sys.exception(), MemoryError | RedisError)
        taken = (job.ended_at - job.started_at) if job.ended_at and job.started_at else None
        return taken is not None and taken.total_seconds() > float(job.timeout or 0) > 0

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop_requested and time.monotonic() < end:
            time.sleep(0.1)

    def _put_back_untaken(self, queue: Queue) -> None:
        """Return to its list the job that a request to stop kept us from taking."""
        between = queue.intermediate_queue
        if not between.get_job_ids():
            return
        time.sleep(TAKING_SECONDS)
        for job_id in between.get_job_ids():
            begun = job_id in queue.started_job_registry
            if not begun and self.connection.lrem(between.key, 1, job_id):
                queue.push_job_id(job_id, at_front=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker until it is told to stop; return its exit code."""
    options = _options(arguments)
    if options.parent:
        die_with_parent(options.parent, STOP_AT_ONCE)
    settings = load_settings()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    try:
        templates = _preload(settings)
        worker = _worker(settings, options.tag)
        if templates:
            VideoManifest(worker.connection, settings.key_prefix).announce(templates)
        worker.work(burst=options.burst, logging_level="INFO")
    except VidgenError as exc:
        logger.error("%s %s", exc.message, exc.hint)  # noqa: TRY400
        return exc.exit_code
    return RedisUnavailable.exit_code if worker.broke_off else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spritz_cli.runs.worker")
    parser.add_argument("--burst", action="store_true", help="end when the queue is empty")
    parser.add_argument("--parent", type=int, help="end when this process does")
    parser.add_argument("--tag", default="", help="a part of its name that tells who started it")
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
    # An invalid catalog may be mended while the worker waits; each job reads it anew.
    with suppress(UsageError):
        return load_catalog(settings.catalog, settings.scenes, settings.state_dir).templates
    return ()


def _retries_made(job: Job) -> int:
    return max(0, MAX_RETRIES - (job.retries_left or 0))


def _tidy_up(job: Job) -> None:
    """Free the lease of a film whose process was killed, and remove its half-made files."""
    film = str(job.kwargs.get("persona")), str(job.kwargs.get("topic"))
    with suppress(VidgenError), open_services(load_settings(), ping=False) as services:
        withdraw_unfinished(services, [manifest_key(*film)])
        services.store.sweep()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    # The job names its function by this module's real name: use that one instance.
    from spritz_cli.runs.worker import main as run

    sys.exit(run())
