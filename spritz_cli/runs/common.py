"""What both kinds of run share: events, the order of the films, settling without rendering."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from spritz_cli.bootstrap import Services
from spritz_cli.errors import RedisUnavailable
from spritz_cli.films.generate import generate_when_free
from spritz_cli.films.planning import PlanItem, most_valuable_first
from spritz_cli.models import Outcome, Template
from spritz_cli.storage.leases import LeaseInfo, Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.redis.connection import connect

#: A film that waits for footage needs a process but no CPU: this many may wait at once.
MOST_WAITING = 4


@dataclass(frozen=True)
class Event:
    """Something happened to one film of a run; only `done`, the last event, has an `outcome`."""

    template: Template
    kind: Literal["queued", "started", "progress", "done"]
    progress: float = 0.0
    stage: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Standing:
    """How many workers a run sees, and how many films wait for a worker or for another run."""

    workers: int
    for_worker: int = 0
    for_others: int = 0


OnEvent = Callable[[Event | Standing], None]


def ignore(_: Event | Standing) -> None:
    """Ignore every event."""


class Progress:
    """Reads the progress of each film from its lease, whichever run is making it."""

    def __init__(self, leases: Leases, on_event: OnEvent) -> None:
        self._leases = leases
        self._report = on_event
        self._open: dict[str, Template] = {}
        self._seen: dict[str, tuple[float, str]] = {}
        self._standing: Standing | None = None

    def queued(self, template: Template) -> None:
        self._open[template.key] = template
        self._report(Event(template, "queued"))

    def done(self, template: Template, outcome: Outcome) -> None:
        self._open.pop(template.key, None)
        self._report(Event(template, "done", 1.0, outcome=outcome))

    def standing(self, now: Standing) -> None:
        if now != self._standing:
            self._standing = now
            self._report(now)

    def poll(self) -> dict[str, LeaseInfo]:
        """Report what is new; return the leases that a living process holds."""
        keys = list(self._open)
        holders = zip(keys, self._leases.holders(keys), strict=True)
        held = {key: info for key, info in holders if info is not None and not info.dead}
        for key, info in held.items():
            self._advance(key, info)
        return held

    def _advance(self, key: str, info: LeaseInfo) -> None:
        now = (info.progress, info.stage)
        if self._seen.get(key) == now:
            return
        kind: Literal["started", "progress"] = "progress" if key in self._seen else "started"
        self._seen[key] = now
        self._report(Event(self._open[key], kind, info.progress, info.stage))


def settle_without_rendering(
    services: Services, items: Iterable[PlanItem], on_event: OnEvent
) -> dict[str, Outcome]:
    """Return the outcome of every item that needs no new film, by name; renews what is due."""
    outcomes = {}
    for item in items:
        if item.action != "make":
            outcomes[item.template.name] = outcome = _settle(services, item)
            on_event(Event(item.template, "done", 1.0, outcome=outcome))
    return outcomes


def pool_size(items: Iterable[PlanItem]) -> int:
    """Return how many films to make at once: one per CPU, and a few that wait for a provider."""
    waiting = sum(1 for item in items if item.cost_micros)
    return (os.cpu_count() or 1) + min(waiting, MOST_WAITING)


def in_order(items: Iterable[PlanItem]) -> list[PlanItem]:
    """Order the films: those that cost money by their value, then the longest first.

    Footage takes longest, and a run ends with its last film.
    """
    every = list(items)
    priced = most_valuable_first(item for item in every if item.cost_micros)
    free = (item for item in every if not item.cost_micros)
    return [*priced, *sorted(free, key=lambda item: -item.template.duration_seconds)]


def withdraw_unfinished(services: Services, keys: Sequence[str]) -> None:
    """Free the leases of dead processes and remove their "processing" entries."""
    # Not the run's own client: that would wait for a server that is down.
    with suppress(RedisUnavailable), _own_connection(services) as (manifest, leases):
        leases.release_dead(keys)
        manifest.withdraw_abandoned(keys, leases)


def published(services: Services, templates: Sequence[Template]) -> int | None:
    """Count the templates that have a film; None if Redis does not answer at once."""
    with suppress(RedisUnavailable), _own_connection(services) as (manifest, _):
        videos = manifest.peek_many(templates)
        return sum(1 for video in videos if video and video.status == "ready")
    return None


def _settle(services: Services, item: PlanItem) -> Outcome:
    template = item.template
    if item.action == "keep":
        return Outcome(template.persona, template.topic, "unchanged", item.video)
    outcome = generate_when_free(services.studio, item)
    if outcome.status != "unchanged":
        return outcome
    return outcome._replace(status="renewed", reason=item.reason)


@contextmanager
def _own_connection(services: Services) -> Iterator[tuple[VideoManifest, Leases]]:
    prefix = services.settings.key_prefix
    with closing(connect(services.redis.url)) as client:
        yield VideoManifest(client, prefix), Leases(client, prefix)
