"""What RQ runs, and the worker that runs nothing else. `python -m spritz_cli.worker` starts one."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Any

from rq import Queue, Worker
from rq.job import Job

from spritz_cli.bootstrap import Production, open_production
from spritz_cli.errors import RedisUnavailable, UsageError, VidgenError
from spritz_cli.job_queue import FUNCTION
from spritz_cli.models import Outcome
from spritz_cli.orphans import die_with_parent, when_orphaned
from spritz_cli.pipeline import generate_when_free
from spritz_cli.settings import Settings, load_settings
from spritz_cli.storage.embedded import connect
from spritz_cli.storage.processes import process_id

logger = logging.getLogger("spritz_cli")

MONITORING_SECONDS = 5
MAINTENANCE_SECONDS = 15
WORKER_TTL = 30


def generate_video_job(
    persona: str, topic: str, job_id: str, force: bool = False
) -> dict[str, Any]:
    """Make one film and say what became of it, in the words of the job contract."""
    logger.info("job %s: %s/%s", job_id, persona, topic)
    try:
        with open_production(load_settings(), patient=True) as production:
            return _result(_generate(production, persona, topic, force))
    except VidgenError as exc:
        return _refusal(exc)


def _generate(production: Production, persona: str, topic: str, force: bool) -> Outcome:
    return generate_when_free(
        production.catalog.get(persona, topic),
        store=production.store,
        manifest=production.manifest,
        leases=production.leases,
        tiers=production.tiers,
        force=force,
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
        if self.func_name != FUNCTION or self.instance is not None or self.args:
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

    Told to stop, it ends the film in the making and puts the job back.
    """

    job_class = FilmJob

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Three heartbeats, not RQ's extra minute: a job whose worker died is found soon."""
        return 3 * int(self.job_monitoring_interval)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self._stop_requested = True
        self._kill_film()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        super().fork_work_horse(job, queue)
        # The request may have come just before there was anything to kill.
        if self._stop_requested:
            self._kill_film()

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Any) -> None:
        group = self.horse_pid
        super().monitor_work_horse(job, queue, execution)
        _kill_group(group)

    def handle_job_failure(self, job: Job, queue: Queue, *args: Any, **kwargs: Any) -> None:
        if self._stop_requested and not self.is_horse:
            # It did not fail: it was asked to stop, so this attempt does not count.
            job.retries_left = (job.retries_left or 0) + 1
        super().handle_job_failure(job, queue, *args, **kwargs)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        when_orphaned(os.getppid(), lambda: os.killpg(0, signal.SIGKILL))
        super().main_work_horse(job, queue)

    def unsubscribe(self) -> None:
        """Leave the command channel without waiting a second for its thread."""
        thread: Any = self.pubsub_thread
        if thread:
            thread.stop()

    def _kill_film(self) -> None:
        if self.horse_pid:
            # A horse that was forked this instant is not in a group of its own yet.
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGKILL)
            _kill_group(self.horse_pid)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker until it is told to stop; return its exit code."""
    options = _options(arguments)
    if options.parent:
        die_with_parent(options.parent, signal.SIGTERM)
    settings = load_settings()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    try:
        _preload(settings)
        _worker(settings).work(burst=options.burst, logging_level="INFO")
    except VidgenError as exc:
        logger.error("%s %s", exc.message, exc.hint)  # noqa: TRY400
        return exc.exit_code
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spritz_cli.worker")
    parser.add_argument("--burst", action="store_true", help="end when the queue is empty")
    parser.add_argument("--parent", type=int, help="end when this process does")
    return parser.parse_args(arguments)


def _worker(settings: Settings) -> FilmWorker:
    if settings.redis_url is None:
        raise RedisUnavailable(
            "a worker needs a server that others can reach", hint="Set REDIS_URL."
        )
    connection = connect(settings.redis_url, patient=True, decode_responses=False)
    queue = Queue(settings.queue, connection=connection, job_class=FilmJob, serializer="json")
    return FilmWorker(
        [queue],
        name=f"{process_id()}:{uuid.uuid4().hex[:8]}",
        connection=connection,
        serializer="json",
        job_monitoring_interval=MONITORING_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=WORKER_TTL,
    )


def _preload(settings: Settings) -> None:
    """Import what a film needs before the first fork, so that each job starts at once."""
    from spritz_cli.catalog import load_catalog

    for module in ("scene.canvas", "scene.text", "tiers.static"):
        import_module(f"spritz_cli.{module}")
    # An invalid catalog may be mended while the worker waits; each job reads it anew.
    with suppress(UsageError):
        load_catalog(settings.catalog, settings.scenes, settings.state_dir)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    # The job names its function by this module's real name: use that one instance.
    from spritz_cli.worker import main as run

    sys.exit(run())
