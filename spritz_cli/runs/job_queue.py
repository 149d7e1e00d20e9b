"""The RQ queue of films. Only this module and worker.py import rq.

RQ's records are hints. The manifest decides whether a film is done, and its lease
whether somebody is making it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rq import Queue, Retry, Worker
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job

from spritz_cli import fingerprints
from spritz_cli.models import Template, manifest_key
from spritz_cli.retries import AFTER_A_KILL
from spritz_cli.storage.process_id import is_dead
from spritz_cli.storage.redis.connection import Patience, connect
from spritz_cli.storage.redis.errors import redis_errors

#: The only function that a vidgen worker runs.
FUNCTION = "spritz_cli.runs.worker.generate_video_job"

#: Jobs that were queued before 0.2 call it by the second name.
FUNCTIONS = (FUNCTION, "spritz_cli.worker.generate_video_job")

JOB_TIMEOUT = 600.0

#: The job timeout of a caller that does not know how long a film takes the workers.
UP_TO_THE_WORKER = -1

#: Long enough for every waiting run to read the result; the film itself is in the manifest.
RESULT_TTL = 600
FAILURE_TTL = 86_400

#: How often a job is retried whose process was killed or whose worker vanished.
MAX_RETRIES = len(AFTER_A_KILL.pauses)

#: A film that failed within this time is not queued again for a viewer.
COOL_DOWN = timedelta(minutes=10)

#: A worker writes a heartbeat every 5 to 15 seconds.
WORKER_SILENCE = timedelta(seconds=60)

#: A job that contradicts the leases for longer than this is lost.
DOUBT = timedelta(seconds=2)


@dataclass(frozen=True)
class JobState:
    """What RQ knows about a job; `waiting` if it is in the queue's list."""

    id: str
    status: str
    waiting: bool
    worker: str | None
    seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""

    @property
    def error(self) -> str:
        """The last line of its traceback."""
        lines = self.trace.strip().splitlines()
        return lines[-1] if lines else f"its job ended as {self.status}"


class JobQueue:
    """The RQ queue that films wait in."""

    def __init__(
        self,
        redis_url: str,
        name: str,
        *,
        patience: Patience = "normal",
        job_timeout: float = JOB_TIMEOUT,
    ) -> None:
        # RQ decodes keys itself, and its job data are bytes.
        connection = connect(redis_url, patience, decode_responses=False)
        self._queue = Queue(name, connection=connection, serializer="json")
        self._job_timeout = round(job_timeout)

    def enqueue(
        self,
        template: Template,
        fingerprint: str,
        *,
        ingredients: Mapping[str, str] | None = None,
        force: bool = False,
        spending: str = "capped",
    ) -> tuple[str, bool]:
        """Queue a film, or join its job if there is one; return the job id and whether it is new.

        A worker that would draw it from other `ingredients` (planning.ingredients)
        refuses the job. `spending` says what footage may cost (planning.Spending).
        """
        # Different files give a different job, which other workers may accept.
        version = fingerprints.digest({"film": fingerprint, **(ingredients or {})})
        job_id = f"{template.key}-{version[:12]}"
        if force:
            job_id += f"-{uuid.uuid4().hex[:8]}"
        options = {"force": force, "spending": spending, "ingredients": dict(ingredients or {})}
        return job_id, self._create_or_join(template.persona, template.topic, job_id, options)

    def enqueue_for_viewer(self, persona: str, topic: str) -> str:
        """Queue a film that the application misses, or join its job; return the job's id.

        Its worker makes what its own catalog says. Also joins a job that failed a
        short while ago.
        """
        job_id = f"{manifest_key(persona, topic)}-app"
        self._create_or_join(persona, topic, job_id, {}, cool_down=True)
        return job_id

    def waiting(self) -> list[str]:
        """Return the ids of the jobs that no worker has started, in queue order."""
        with redis_errors():
            return self._queue.get_job_ids()

    def look(self, job_ids: Sequence[str]) -> list[JobState | None]:
        """Return the state of each job, None for a job that RQ does not know."""
        with redis_errors():
            waiting = set(self._queue.get_job_ids())
            return [_state(job, waiting) if job else None for job in self._fetch_many(job_ids)]

    def forget(self, job_id: str) -> None:
        """Remove a job, or its remnant, so that its id is free."""
        with redis_errors():
            job = self._fetch(job_id)
            if job:
                job.delete()
            else:
                self._queue.connection.delete(Job.key_for(job_id))
            self._queue.intermediate_queue.remove(job_id)

    def live_workers(self) -> set[str]:
        """Return the names of the workers that listen and are alive."""
        with redis_errors():
            workers = Worker.all(queue=self._queue, serializer="json")
            return {worker.name for worker in workers if _lives(worker)}

    def close(self) -> None:
        self._queue.connection.close()

    def _create_or_join(
        self,
        persona: str,
        topic: str,
        job_id: str,
        options: Mapping[str, Any],
        cool_down: bool = False,
    ) -> bool:
        with redis_errors():
            while not (created := self._create(persona, topic, job_id, options)):
                if self._worth_joining(job_id, cool_down):
                    break
                self.forget(job_id)
        return created

    def _create(self, persona: str, topic: str, job_id: str, options: Mapping[str, Any]) -> bool:
        try:
            self._queue.enqueue(
                FUNCTION,
                kwargs={"persona": persona, "topic": topic, "job_id": job_id, **options},
                job_id=job_id,
                unique=True,
                job_timeout=self._job_timeout,
                result_ttl=RESULT_TTL,
                failure_ttl=FAILURE_TTL,
                # Only after a kill: FilmWorker cancels the retries of every other failure.
                retry=Retry(max=MAX_RETRIES),
                description=f"make {persona}/{topic}",
            )
        except DuplicateJobError:
            return False
        return True

    def _worth_joining(self, job_id: str, cool_down: bool) -> bool:
        job = self._fetch(job_id)
        if job is None:
            return False
        state = _state(job, set(self._queue.get_job_ids()))
        if state.status == "queued":
            return state.waiting or _recent(job.enqueued_at)
        if state.status == "started":
            return state.worker in self.live_workers() or _recent(job.started_at)
        unsuccessful = state.status == "failed" or state.result.get("status") == "failed"
        return cool_down and unsuccessful and _recent(job.ended_at, COOL_DOWN)

    def _fetch_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        try:
            return Job.fetch_many(
                job_ids, connection=self._queue.connection, serializer=self._queue.serializer
            )
        except NoSuchJobError:
            # A heartbeat after a job was deleted leaves a remnant with no job data.
            return [self._fetch(job_id) for job_id in job_ids]

    def _fetch(self, job_id: str) -> Job | None:
        try:
            return Job.fetch(
                job_id, connection=self._queue.connection, serializer=self._queue.serializer
            )
        except NoSuchJobError:
            return None


def _state(job: Job, waiting: set[str]) -> JobState:
    status = str(job.get_status(refresh=False).value)
    done = job.latest_result() if status in ("finished", "failed") else None
    result = done.return_value if done and isinstance(done.return_value, dict) else {}
    ended = job.ended_at or job.started_at
    taken = (ended - job.started_at).total_seconds() if ended and job.started_at else 0.0
    return JobState(
        id=job.id,
        status=status,
        waiting=job.id in waiting,
        worker=job.worker_name,
        seconds=round(max(0.0, taken), 3),
        result=result,
        trace=(done.exc_string or "") if done else "",
    )


def _lives(worker: Any) -> bool:
    """Whether a registered worker is alive.

    RQ notices a death when its keys expire; the process id in our names shows it at once.
    """
    if is_dead(worker.name.rpartition(":")[0]):
        return False
    return worker.last_heartbeat is not None and _recent(worker.last_heartbeat, WORKER_SILENCE)


def _recent(moment: datetime | None, span: timedelta = DOUBT) -> bool:
    if moment is None:
        return False
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.now(UTC) - aware < span
