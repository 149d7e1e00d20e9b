"""What every run has in common, whichever processes make its films: events, order, manners."""

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

#: Films whose footage is waited for cost no work meanwhile, but each has a process.
MOST_WAITING = 4


@dataclass(frozen=True)
class Event:
    """Something happened to one film of a run; `outcome` comes with the last one, `done`."""

    template: Template
    kind: Literal["queued", "started", "progress", "done"]
    progress: float = 0.0
    stage: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Standing:
    """How many workers a run sees, and how many of its films wait for one or for another run."""

    workers: int
    for_worker: int = 0
    for_others: int = 0


OnEvent = Callable[[Event | Standing], None]


def ignore(_: Event | Standing) -> None:
    """Watch nothing."""


class Progress:
    """Reads from the leases how far each film is, so that every run sees every other's work."""

    def __init__(self, leases: Leases, on_event: OnEvent) -> None:
        self._leases = leases
        self._tell = on_event
        self._open: dict[str, Template] = {}
        self._seen: dict[str, tuple[float, str]] = {}
        self._standing: Standing | None = None

    def queued(self, template: Template) -> None:
        self._open[template.key] = template
        self._tell(Event(template, "queued"))

    def done(self, template: Template, outcome: Outcome) -> None:
        self._open.pop(template.key, None)
        self._tell(Event(template, "done", 1.0, outcome=outcome))

    def standing(self, now: Standing) -> None:
        if now != self._standing:
            self._standing = now
            self._tell(now)

    def poll(self) -> dict[str, LeaseInfo]:
        """Tell what is new and return the leases that a living process holds."""
        keys = list(self._open)
        found = zip(keys, self._leases.holders(keys), strict=True)
        held = {key: info for key, info in found if info is not None and not info.dead}
        for key, info in held.items():
            self._advance(key, info)
        return held

    def _advance(self, key: str, info: LeaseInfo) -> None:
        now = (info.progress, info.stage)
        if self._seen.get(key) == now:
            return
        kind: Literal["started", "progress"] = "progress" if key in self._seen else "started"
        self._seen[key] = now
        self._tell(Event(self._open[key], kind, info.progress, info.stage))


def settle_without_rendering(
    services: Services, items: Iterable[PlanItem], on_event: OnEvent
) -> dict[str, Outcome]:
    """Return the outcome of every item that needs no film, by name; renews what is due."""
    outcomes = {}
    for item in items:
        if item.action != "make":
            outcomes[item.template.name] = outcome = _settle(services, item)
            on_event(Event(item.template, "done", 1.0, outcome=outcome))
    return outcomes


def pool_size(items: Iterable[PlanItem]) -> int:
    """Return how many films to make at a time: one per CPU, and a few that wait for a provider."""
    waiting = sum(1 for item in items if item.cost_micros)
    return (os.cpu_count() or 1) + min(waiting, MOST_WAITING)


def in_order(items: Iterable[PlanItem]) -> list[PlanItem]:
    """Order the films: those that cost money by their value, then the longest first.

    A run ends when its last film does, and footage is what takes long.
    """
    every = list(items)
    priced = most_valuable_first(item for item in every if item.cost_micros)
    free = (item for item in every if not item.cost_micros)
    return [*priced, *sorted(free, key=lambda item: -item.template.duration_seconds)]


def withdraw_unfinished(services: Services, keys: Sequence[str]) -> None:
    """Free the leases of the dead and remove what says "processing" for nobody."""
    # Whoever tidies up does not wait for a server to come back, as the run itself does.
    with suppress(RedisUnavailable), _own_connection(services) as (manifest, leases):
        leases.release_dead(keys)
        manifest.withdraw_abandoned(keys, leases)


def published(services: Services, templates: Sequence[Template]) -> int | None:
    """Count the templates that have a film; None if Redis cannot tell at once."""
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
