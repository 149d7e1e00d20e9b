"""Plan what may be deleted from the store, then delete that.

A film is deleted for one of three reasons. `expired`: the manifest no longer lists its
template, and no run has renewed it for a whole lifetime. `orphaned`: it was replaced, is
unfinished, or belongs to no template of the catalog. `over quota`: the store is too large,
and every other film was watched more recently. Generated footage was paid for: it is
deleted only when no template has asked for it for months.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spritz_cli.films.studio import Studio
from spritz_cli.models import Location, Video, manifest_key
from spritz_cli.settings import GIGABYTE
from spritz_cli.storage.footage import FootageStore, Order, OrderState
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import JITTER
from spritz_cli.storage.videos import StoredFilm
from spritz_cli.tiers.brief import answers

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import Catalog

#: Nothing younger than this is deleted: somebody may still be writing or watching it.
GRACE_SECONDS = 3600.0

EXPIRED = "expired"
ORPHANED = "orphaned"
OVER_QUOTA = "over quota (least recently used)"

UNUSED_FOOTAGE = "footage that no template asks for"

#: An edit of the catalog may be reverted, and then its footage is needed again.
FOOTAGE_SECONDS = 90 * 86_400.0

_COUNTERS = {
    "expired_deleted": EXPIRED,
    "orphaned_deleted": ORPHANED,
    "lru_evicted": OVER_QUOTA,
    "footage_deleted": UNUSED_FOOTAGE,
}

#: Orders whose state will not change any more.
_ENDED: tuple[OrderState, ...] = ("stored", "failed", "refused")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deletion:
    """One file, or one abandoned scratch folder, and why it may be deleted."""

    path: Location
    bytes: int
    reason: str


@dataclass(frozen=True)
class Removal:
    """All files of one film, in the order in which they must be deleted."""

    film: StoredFilm
    reason: str
    deletions: tuple[Deletion, ...]


@dataclass(frozen=True)
class UnusedFootage:
    """An order whose footage no template asks for any more, and its files."""

    order: Order
    deletions: tuple[Deletion, ...]


@dataclass(frozen=True)
class CleanupPlan:
    """What would be deleted, and the size of all films now."""

    removals: tuple[Removal, ...]
    scratch: tuple[Deletion, ...]
    disk_usage_bytes: int
    footage: tuple[UnusedFootage, ...] = ()

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        groups: tuple[Removal | UnusedFootage, ...] = (*self.removals, *self.footage)
        files = (deletion for group in groups for deletion in group.deletions)
        return (*files, *self.scratch)


@dataclass(frozen=True)
class CleanupResult:
    """What a cleanup deleted, or would delete: the figures that nightly jobs and people read."""

    plan: CleanupPlan
    deleted: tuple[Deletion, ...]
    dry_run: bool

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        """What was deleted; after a dry run, what would be."""
        return self.plan.deletions if self.dry_run else self.deleted

    @property
    def disk_usage_bytes(self) -> int:
        """What the films that are left take up."""
        films = {item.path for removal in self.plan.removals for item in removal.deletions}
        freed = sum(item.bytes for item in self.deleted if item.path in films)
        return self.plan.disk_usage_bytes - freed

    def totals(self) -> dict[str, Any]:
        """Return how many films (not files) go for each reason, and the bytes freed and left."""
        groups = {(item.path.with_suffix(""), item.reason) for item in self.deletions}
        reasons = [reason for _, reason in groups]
        return {
            "dry_run": self.dry_run,
            **{name: reasons.count(reason) for name, reason in _COUNTERS.items()},
            "disk_usage_gb": self.disk_usage_bytes / GIGABYTE,
            "bytes_freed": sum(item.bytes for item in self.deleted),
        }

    def document(self) -> dict[str, Any]:
        """Return the totals and each deletion."""
        deletions = [
            {"path": str(item.path), "bytes": item.bytes, "reason": item.reason}
            for item in self.deletions
        ]
        return {**self.totals(), "deletions": deletions}


def plan_cleanup(
    studio: Studio,
    catalog: Catalog | None,
    *,
    quota_bytes: int,
    footage: FootageStore | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> CleanupPlan:
    """Decide what may be deleted; changes nothing. Without a catalog every template is known."""
    stored = list(studio.store.videos())
    time = studio.clock().timestamp()
    snapshot = _Snapshot(
        entries={entry.key: entry for entry in studio.manifest.entries()},
        known={template.key for template in catalog.templates} if catalog else None,
        leased=_leased(studio.leases, stored),
        latest=_latest(stored),
        untouched_since=time - grace_seconds,
        expired_since=time - studio.manifest.ttl_seconds * (1 + JITTER),
    )
    removals = tuple(_removals(stored, snapshot, quota_bytes))
    abandoned = studio.store.abandoned()
    scratch = tuple(Deletion(path, _tree_bytes(path), ORPHANED) for path in abandoned)
    used = sum(film.bytes for film in stored)
    unused = _unused_footage(footage, catalog, time - FOOTAGE_SECONDS) if footage else ()
    return CleanupPlan(removals, scratch, used, tuple(unused))


def apply_cleanup(
    plan: CleanupPlan, studio: Studio, footage: FootageStore | None = None
) -> tuple[Deletion, ...]:
    """Delete what a plan lists; return what was deleted.

    A film that came into use after the plan was made is kept.
    """
    deleted: list[Deletion] = []
    for removal in plan.removals:
        deleted += _remove(removal, studio)
    if footage:
        for unused in plan.footage:
            deleted += _remove_footage(unused, footage, studio.leases)
    swept = studio.store.sweep() if plan.scratch else []
    return (*deleted, *(deletion for deletion in plan.scratch if deletion.path in swept))


def cleanup(
    studio: Studio,
    catalog: Catalog | None,
    *,
    quota_bytes: int,
    footage: FootageStore | None = None,
    grace_seconds: float = GRACE_SECONDS,
    dry_run: bool = False,
) -> CleanupResult:
    """Plan, and delete unless `dry_run`."""
    plan = plan_cleanup(
        studio, catalog, quota_bytes=quota_bytes, footage=footage, grace_seconds=grace_seconds
    )
    deleted = () if dry_run else apply_cleanup(plan, studio, footage)
    result = CleanupResult(plan, deleted, dry_run)
    _log.info("cleanup: %s", result.totals())
    return result


@dataclass(frozen=True)
class _Snapshot:
    """What the plan is based on: one look at manifest, catalog and leases."""

    entries: dict[str, Video]
    known: set[str] | None
    leased: set[str]
    latest: set[Location]
    untouched_since: float
    expired_since: float

    def is_protected(self, film: StoredFilm) -> bool:
        return film.modified_at > self.untouched_since or _key(film) in self.leased

    def is_served(self, film: StoredFilm) -> bool:
        return _serves(self.entries.get(_key(film)), film)

    def reason_to_go(self, film: StoredFilm) -> str | None:
        if self.is_served(film):
            return None
        if not film.published or film.paths[-1] not in self.latest:
            return ORPHANED
        if self._is_replaced(film) or self._is_unknown(film):
            return ORPHANED
        # The last film of a template is kept so that a lost manifest can be rebuilt.
        return EXPIRED if film.modified_at < self.expired_since else None

    def last_use(self, film: StoredFilm) -> tuple[bool, float]:
        """Sort key for eviction: unreachable films first, then the least recently watched."""
        if not self.is_served(film):
            return False, film.modified_at
        accessed = _timestamp(self.entries[_key(film)].last_accessed_at)
        return True, film.modified_at if accessed is None else accessed

    def _is_replaced(self, film: StoredFilm) -> bool:
        entry = self.entries.get(_key(film))
        return entry is not None and entry.status == "ready"

    def _is_unknown(self, film: StoredFilm) -> bool:
        return self.known is not None and _key(film) not in self.known


def _removals(
    stored: Sequence[StoredFilm], snapshot: _Snapshot, quota_bytes: int
) -> Iterator[Removal]:
    used = sum(film.bytes for film in stored)
    kept = []
    for film in stored:
        if snapshot.is_protected(film):
            continue
        if reason := snapshot.reason_to_go(film):
            used -= film.bytes
            yield _removal(film, reason)
        else:
            kept.append(film)
    for film in sorted(kept, key=snapshot.last_use):
        if used <= quota_bytes:
            return
        used -= film.bytes
        yield _removal(film, OVER_QUOTA)


def _removal(film: StoredFilm, reason: str) -> Removal:
    # The sidecar is the last path and is deleted first: without it the others do not count.
    files = reversed(list(zip(film.paths, film.sizes, strict=True)))
    return Removal(film, reason, tuple(Deletion(path, size, reason) for path, size in files))


def _remove(removal: Removal, studio: Studio) -> list[Deletion]:
    film, store = removal.film, studio.store
    # Under the lease nobody else publishes this template.
    with studio.leases.acquire(_key(film)) or nullcontext() as lease:
        if lease is None or _is_wanted_again(removal, studio):
            return []
        deleted = [deletion for deletion in removal.deletions if store.remove(deletion.path)]
        store.remove_empty_folder(film.persona, film.topic)
    return deleted


def _is_wanted_again(removal: Removal, studio: Studio) -> bool:
    film = removal.film
    if studio.store.modified_at(film) > film.modified_at:
        return True
    entry = studio.manifest.peek(film.persona, film.topic)
    if entry is None or not _serves(entry, film):
        return False
    # Readers must not be sent to a file that is about to be deleted.
    return removal.reason != OVER_QUOTA or not studio.manifest.withdraw(entry)


def _unused_footage(
    footage: FootageStore, catalog: Catalog | None, unused_since: float
) -> Iterator[UnusedFootage]:
    if catalog is None:
        return
    templates = {template.name: template for template in catalog.templates}
    for order in footage.all_orders():
        template = templates.get(order.template)
        wanted = template is not None and answers(order, template)
        # Younger journals are also the record of what was spent.
        if not wanted and order.created_at < unused_since and order.state in _ENDED:
            yield UnusedFootage(order, tuple(_footage_files(footage, order)))


def _footage_files(footage: FootageStore, order: Order) -> Iterator[Deletion]:
    for location, size in footage.files(order):
        yield Deletion(location, size, UNUSED_FOOTAGE)


def _remove_footage(unused: UnusedFootage, footage: FootageStore, leases: Leases) -> list[Deletion]:
    key = manifest_key(*unused.order.template.split("/"))
    with leases.acquire(key) or nullcontext() as lease:
        gone = footage.remove(unused.order) if lease else []
    return [deletion for deletion in unused.deletions if deletion.path in gone]


def _leased(leases: Leases, stored: Sequence[StoredFilm]) -> set[str]:
    keys = sorted({_key(film) for film in stored})
    holders = zip(keys, leases.holders(keys), strict=True)
    return {key for key, holder in holders if holder and not holder.dead}


def _latest(stored: Sequence[StoredFilm]) -> set[Location]:
    newest: dict[str, StoredFilm] = {}
    for film in sorted(stored, key=lambda film: film.modified_at):
        if film.published:
            newest[_key(film)] = film
    return {film.paths[-1] for film in newest.values()}


def _serves(entry: Video | None, film: StoredFilm) -> bool:
    return entry is not None and entry.status == "ready" and entry.hash == film.hash


def _key(film: StoredFilm) -> str:
    return manifest_key(film.persona, film.topic)


def _timestamp(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _tree_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
