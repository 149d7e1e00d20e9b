"""The studio: what everything that plans, makes or cleans up films needs, in one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from spritz_cli.retries import AFTER_A_KILL, Retries
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.tiers.base import FilmTier

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Studio:
    """Where films are kept, listed and worked on, and the tiers that make them, best first.

    `budget` is what a plan may spend today; without one, money is no limit.
    `retries` says when a film is begun again whose encoder was killed.
    """

    store: VideoStore
    manifest: VideoManifest
    leases: Leases
    tiers: Sequence[FilmTier]
    budget: DailyBudget | None = None
    retries: Retries = AFTER_A_KILL
    clock: Clock = utc_now
