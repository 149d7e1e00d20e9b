"""A run whose films are RQ jobs: it queues one per film and watches them to the end.

A job that contradicts the manifest and the leases, because its worker was killed or
another run withdrew it, is queued again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from spritz_cli import errors
from spritz_cli.bootstrap import Services
from spritz_cli.errors import InfrastructureError, RedisUnavailable, UsageError
from spritz_cli.films.planning import PlanItem, fingerprint, ingredients, plan
from spritz_cli.models import Outcome, OutcomeStatus, Template, Video
from spritz_cli.retries import AFTER_A_KILL
from spritz_cli.runs.common import (
    OnEvent,
    Progress,
    Standing,
    ignore,
    in_order,
    pool_size,
    settle_without_rendering,
    withdraw_unfinished,
)
from spritz_cli.runs.job_queue import DOUBT, JobQueue, JobState
from spritz_cli.runs.local_workers import LocalWorkers
from spritz_cli.runs.signals import uninterrupted
from spritz_cli.storage.leases import LeaseInfo

POLL_SECONDS = 0.2
LOOK_FOR_WORKERS_SECONDS = 1.0
MAX_ATTEMPTS = AFTER_A_KILL.attempts

T = TypeVar("T")


def enqueue(services: Services, items: Iterable[PlanItem]) -> list[tuple[Template, str]]:
    """Queue what is due and return at once: each template with its job id."""
    if services.redis.embedded:
        raise UsageError(
            "without REDIS_URL the queue ends with this command",
            hint="Set REDIS_URL and start `vidgen worker`, or wait for the films.",
        )
    queue = _queue(services)
    try:
        due = in_order(item for item in items if item.action != "keep")
        return [(item.template, _enqueue(services, queue, item)[0]) for item in due]
    finally:
        queue.close()


def warm(
    services: Services,
    items: Sequence[PlanItem],
    *,
    workers: int | None = None,
    on_event: OnEvent = ignore,
) -> list[Outcome]:
    """Have every film of the plan made by RQ workers and wait; outcomes in the plan's order.

    Starts local workers if none listens. On KeyboardInterrupt it withdraws the jobs
    that it queued, stops the workers that it started, and raises it again.
    """
    outcomes = settle_without_rendering(services, items, on_event)
    rest = [item for item in items if item.template.name not in outcomes]
    if rest:
        with _Run(services, workers or pool_size(rest), on_event) as run:
            outcomes |= run.make(rest)
    return [outcomes[item.template.name] for item in items]


@dataclass
class _Awaited:
    """A film of the run and the job that makes it."""

    item: PlanItem
    job_id: str
    ours: bool
    attempts: int = 1
    doubtful_since: float | None = None

    @property
    def template(self) -> Template:
        return self.item.template


#: A film of the run, what RQ knows about its job, and who holds its lease.
_Look = tuple[_Awaited, JobState | None, LeaseInfo | None]


class _Run:
    """The films that are left, and the loop that waits for them."""

    def __init__(self, services: Services, workers: int, on_event: OnEvent) -> None:
        settings = services.settings
        self._services = services
        self._size = workers
        self._queue = _queue(services)
        self._workers = LocalWorkers(
            settings, services.redis.url, log=settings.state_dir / "worker.log"
        )
        self._live: set[str] = set()
        self._looked_at = 0.0
        self._progress = Progress(services.leases, on_event)
        self._awaited: dict[str, _Awaited] = {}
        self._outcomes: dict[str, Outcome] = {}

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._close()

    def make(self, items: Sequence[PlanItem]) -> dict[str, Outcome]:
        self._look_for_workers(len(items))
        for item in in_order(items):
            self._enqueue(item)
        while self._awaited:
            self._look()
            time.sleep(POLL_SECONDS)
        return self._outcomes

    def _enqueue(self, item: PlanItem) -> None:
        self._awaited[item.template.name] = _Awaited(item, *self._queued(item))
        self._progress.queued(item.template)

    def _queued(self, item: PlanItem) -> tuple[str, bool]:
        return self._outlast(lambda: _enqueue(self._services, self._queue, item))

    def _look(self) -> None:
        films = list(self._awaited.values())
        held = self._progress.poll()
        states = self._outlast(lambda: self._queue.look([film.job_id for film in films]))
        self._look_for_workers(sum(1 for state in states if state and state.waiting))
        looked = [
            (film, state, held.get(film.template.key))
            for film, state in zip(films, states, strict=True)
        ]
        self._progress.standing(self._standing(looked))
        for film, state, holder in looked:
            self._follow(film, state, holder)

    def _standing(self, looked: Iterable[_Look]) -> Standing:
        waiting = Counter(_waits_for(*look) for look in looked)
        return Standing(len(self._live), waiting["worker"], waiting["others"])

    def _follow(self, film: _Awaited, state: JobState | None, holder: LeaseInfo | None) -> None:
        if state is not None and state.status == "finished":
            self._finish(film, self._outcome(film, state))
        elif state is not None and state.status in ("failed", "stopped", "canceled"):
            self._finish(film, _failure(self._services, film.template, _cause(state)))
        elif holder is not None or self._credible(state):
            film.doubtful_since = None
        elif film.doubtful_since is None:
            film.doubtful_since = time.monotonic()
        elif time.monotonic() - film.doubtful_since > DOUBT.total_seconds():
            self._try_again(film)

    def _credible(self, state: JobState | None) -> bool:
        """Whether a job may still be on its way although nobody holds the lease of its film."""
        if state is None:
            return False
        return state.worker in self._live if state.status == "started" else state.waiting

    def _try_again(self, film: _Awaited) -> None:
        """Settle a job that vanished, or whose worker did: it was done, or it is queued again."""
        made = self._made_since(film)
        if made is not None:
            # Otherwise RQ would have it made again, by force if that was asked for.
            self._outlast(lambda: self._queue.forget(film.job_id))
            self._finish(film, made)
        elif film.attempts >= MAX_ATTEMPTS:
            error = f"its worker vanished {film.attempts} times"
            self._finish(film, _failure(self._services, film.template, error))
        else:
            self._outlast(lambda: self._queue.forget(film.job_id))
            self._services.leases.release_dead([film.template.key])
            film.job_id, film.ours = self._queued(film.item)
            film.attempts += 1
            film.doubtful_since = None

    def _made_since(self, film: _Awaited) -> Outcome | None:
        """Return the outcome if the film was published before its job vanished."""
        template = film.template
        (item,) = plan(self._services.studio, [template])
        if item.action == "make" or item.video is None:
            return None
        made = film.item.is_new(item.video)
        if film.item.forced and not made:
            return None
        status = _status(made, ours=film.ours)
        return Outcome(template.persona, template.topic, status, item.video)

    def _outcome(self, film: _Awaited, state: JobState) -> Outcome:
        """Turn a job's result into an outcome; raises the error if the worker's machine failed."""
        template, result = film.template, state.result
        _raise_fault(result)
        video = _published(self._services, template)
        if result.get("status") != "success" or video is None:
            return _failure(self._services, template, _error(result), state.seconds)
        status = _reported(film, result, video)
        error = result.get("error")
        return Outcome(template.persona, template.topic, status, video, state.seconds, error)

    def _finish(self, film: _Awaited, outcome: Outcome) -> None:
        del self._awaited[film.template.name]
        self._outcomes[film.template.name] = outcome
        self._progress.done(film.template, outcome)

    def _look_for_workers(self, waiting: int) -> None:
        """Start workers if jobs wait and none listens; replace ours that died."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_FOR_WORKERS_SECONDS:
            return
        self._looked_at = now
        self._live = self._outlast(self._queue.live_workers)
        if waiting and (self._workers.running or not self._live):
            self._workers.start(min(self._size, max(waiting, len(self._awaited))))

    def _outlast(self, ask: Callable[[], T]) -> T:
        """Ask the queue, and once more if the server was restarting."""
        try:
            return ask()
        except RedisUnavailable:
            # The services' client is patient: it returns when the server is back.
            self._services.leases.holder("")
            return ask()

    def _close(self) -> None:
        left = [film for film in self._awaited.values() if film.ours]
        with suppress(RedisUnavailable):
            self._forget_waiting(left)
        self._workers.stop()
        with suppress(RedisUnavailable):
            # A stopped worker has requeued its job: withdraw that too.
            self._forget_waiting(left)
        withdraw_unfinished(self._services, [film.template.key for film in left])
        self._services.store.sweep()
        self._queue.close()

    def _forget_waiting(self, films: Sequence[_Awaited]) -> None:
        if not films:
            return
        states = self._queue.look([film.job_id for film in films])
        for state in states:
            if state and state.status == "queued":
                self._queue.forget(state.id)


def _waits_for(film: _Awaited, state: JobState | None, holder: LeaseInfo | None) -> str:
    if holder is not None:
        return "" if film.ours else "others"
    return "worker" if state is not None and state.waiting else ""


def _queue(services: Services) -> JobQueue:
    settings = services.settings
    return JobQueue(services.redis.url, settings.queue, job_timeout=settings.job_timeout)


def _enqueue(services: Services, queue: JobQueue, item: PlanItem) -> tuple[str, bool]:
    return queue.enqueue(
        item.template,
        fingerprint(item.template, services.tiers),
        ingredients=ingredients(item.template, services.tiers),
        force=item.forced,
        spending=item.spending,
    )


def _raise_fault(result: Mapping[str, Any]) -> None:
    """Raise the infrastructure error that a job ended with, if it did."""
    kind = getattr(errors, str(result.get("error_kind")), None)
    if isinstance(kind, type) and issubclass(kind, InfrastructureError):
        raise kind(str(result.get("error")), hint=str(result.get("hint") or ""))


def _error(result: Mapping[str, Any]) -> str:
    error, hint = str(result.get("error") or "no reason given"), result.get("hint")
    return f"{error}. {hint}" if hint else error


def _reported(film: _Awaited, result: Mapping[str, Any], video: Video) -> OutcomeStatus:
    """Return the status of a successful job: its result says whether it made or found the film."""
    if result.get("fallback_used") != "cache":
        return _status(True, ours=film.ours)
    # Published since the plan by an earlier attempt of this job, or by another run.
    retried = film.attempts > 1 or result.get("attempt", 1) > 1
    return _status(film.item.is_new(video), ours=film.ours and retried)


def _status(made: bool, *, ours: bool) -> OutcomeStatus:
    if not made:
        return "unchanged"
    return "made" if ours else "joined"


def _failure(services: Services, template: Template, error: str, seconds: float = 0.0) -> Outcome:
    video = _published(services, template)
    return Outcome(template.persona, template.topic, "failed", video, seconds, error)


def _published(services: Services, template: Template) -> Video | None:
    return services.manifest.peek(template.persona, template.topic)


def _cause(state: JobState) -> str:
    if state.status != "failed":
        return f"its job was {state.status}"
    if "Work-horse terminated" in state.trace:
        return "its process was killed, perhaps because the machine ran out of memory"
    if "AbandonedJobError" in state.trace or "intermediate queue" in state.trace:
        return "its worker vanished"
    return state.error
