"""Cleanup: planned first, careful with what is in use, and nothing outside the store."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from spritz_cli.catalog.loader import Catalog
from spritz_cli.errors import StorageError
from spritz_cli.films.cleanup import (
    EXPIRED,
    ORPHANED,
    OVER_QUOTA,
    UNUSED_FOOTAGE,
    CleanupPlan,
    apply_cleanup,
    cleanup,
    plan_cleanup,
)
from spritz_cli.films.studio import Studio
from spritz_cli.models import Template, Video
from spritz_cli.settings import GIGABYTE
from spritz_cli.storage.footage import FootageStore, Order
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import fake_redis, sample_film, sample_order, sample_template

HOUR, DAY = 3600.0, 86_400.0
A = sample_template(topic="a")
B = sample_template(topic="b")
C = sample_template(topic="c")


CATALOG = Catalog(Path("templates.yaml"), (A, B, C))


class House:
    """A store, a manifest and leases, and the ways in which films get into them."""

    def __init__(self, root: Path) -> None:
        self.redis: Redis = fake_redis()
        self.store = VideoStore(root)
        self.manifest = VideoManifest(self.redis)
        self.leases = Leases(self.redis)
        self.studio = Studio(self.store, self.manifest, self.leases, ())
        self.footage = FootageStore(root)

    def order(self, template: Template = A, age: float = 100 * DAY, **changes) -> Order:
        """Put an order with its footage into the store, made `age` seconds ago."""
        order = sample_order(template, created_at=time.time() - age, **changes)
        scratch = self.store.folder / "scratch.mp4"
        scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(b"footage")
        told = self.footage.adopt(order, scratch)
        return self.footage.record(order._replace(**told))

    def publish(self, template: Template, content: str = "film", age: float = DAY) -> Video:
        """Put a film, `age` seconds old, into the store and the manifest."""
        video = self.keep(template, content, age)
        with self.leases.acquire(template.key) as lease:
            self.manifest.publish(video, lease)
        return video

    def keep(self, template: Template, content: str = "film", age: float = DAY) -> Video:
        """Put a film into the store only."""
        then = time.time() - age
        with self.store.staging() as scratch:
            video = self.store.publish(
                sample_film(scratch, f"{template.name} {content}"),
                template,
                tier="static",
                fingerprint="f",
                inputs={},
                created_at=datetime.fromtimestamp(then, UTC).isoformat(),
            )
        for suffix in (".mp4", ".webp", ".vtt", ".json"):
            os.utime(self.store.path(video).with_suffix(suffix), (then, then))
        return video

    def watched(self, video: Video, ago: float) -> None:
        then = datetime.fromtimestamp(time.time() - ago, UTC).isoformat()
        self.redis.hset(f"video:{video.key}", "last_accessed_at", then)

    def plan(
        self, quota: float = 5 * GIGABYTE, grace: float = HOUR, catalog=CATALOG
    ) -> CleanupPlan:
        return plan_cleanup(
            self.studio,
            catalog,
            quota_bytes=int(quota),
            footage=self.footage,
            grace_seconds=grace,
        )

    def apply(self, plan: CleanupPlan) -> int:
        return len(apply_cleanup(plan, self.studio, self.footage))

    def clean(self, **options) -> dict:
        return cleanup(self.studio, CATALOG, **{"quota_bytes": 5 * GIGABYTE, **options}).document()

    def size(self, video: Video) -> int:
        return next(film.bytes for film in self.store.videos() if film.hash == video.hash)

    def files(self) -> set[Path]:
        return {path for path in self.store.folder.rglob("*") if ".staging" not in path.parts}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "videos")


def reasons(plan: CleanupPlan) -> dict[str, str]:
    return {removal.film.hash: removal.reason for removal in plan.removals}


def test_what_the_manifest_serves_stays_however_old_it_is(house: House) -> None:
    house.publish(A, age=400 * DAY)
    assert house.plan().deletions == ()


def test_a_film_that_was_replaced_goes(house: House) -> None:
    old = house.publish(A, "old")
    house.publish(A, "new")
    assert reasons(house.plan()) == {old.hash: ORPHANED}


def test_a_half_published_film_goes(house: House) -> None:
    video = house.keep(A)
    house.store.remove(house.store.path(video).with_suffix(".json"))
    assert reasons(house.plan()) == {video.hash: ORPHANED}


def test_a_film_of_no_template_goes_when_the_manifest_has_let_it_go(house: House) -> None:
    gone = sample_template(topic="gone")
    served, forgotten = house.publish(gone, "new"), house.keep(sample_template(topic="gone_too"))
    assert reasons(house.plan()) == {forgotten.hash: ORPHANED}
    assert reasons(house.plan(catalog=None)) == {}
    assert house.manifest.withdraw(served)
    assert set(reasons(house.plan())) == {served.hash, forgotten.hash}


def test_a_film_whose_entry_has_lapsed_goes_after_a_whole_life_time(house: House) -> None:
    house.keep(A, age=29 * DAY)
    lapsed = house.keep(B, age=34 * DAY)
    assert reasons(house.plan()) == {lapsed.hash: EXPIRED}


def test_a_lost_redis_costs_no_film_that_could_be_listed_again(house: House) -> None:
    latest = [house.publish(template).hash for template in (A, B, C)]
    older = house.keep(A, "older", age=2 * DAY)
    house.redis.flushall()
    assert reasons(house.plan()) == {older.hash: ORPHANED}
    house.apply(house.plan())
    assert {film.hash for film in house.store.videos()} == set(latest)


def test_nothing_younger_than_the_grace_period_goes(house: House) -> None:
    house.publish(A, "old", age=0.9 * HOUR)
    house.publish(A, "new")
    assert house.plan(quota=0, grace=2 * DAY).deletions == ()
    assert len(house.plan(grace=0.5 * HOUR).removals) == 1


def test_nothing_under_a_lease_goes(house: House) -> None:
    house.publish(A, "old")
    house.publish(A, "new")
    with house.leases.acquire(A.key):
        assert house.plan(quota=0).deletions == ()
    assert len(house.plan(quota=0).removals) == 2


def test_over_quota_the_film_watched_longest_ago_goes_first(house: House) -> None:
    a, b, c = (house.publish(template, age=DAY * n) for n, template in ((3, A), (2, B), (1.5, C)))
    house.watched(a, ago=HOUR)
    house.watched(c, ago=2 * HOUR)
    quota = house.size(a) + house.size(c)
    assert reasons(house.plan(quota=quota)) == {b.hash: OVER_QUOTA}
    assert reasons(house.plan(quota=quota - 1)) == {b.hash: OVER_QUOTA, c.hash: OVER_QUOTA}


def test_over_quota_films_that_nobody_can_reach_go_before_those_that_are_served(
    house: House,
) -> None:
    house.publish(A, age=9 * DAY)
    unlisted = house.keep(B, age=2 * DAY)
    quota = house.size(unlisted) + 10
    assert reasons(house.plan(quota=quota)) == {unlisted.hash: OVER_QUOTA}


def test_an_evicted_film_leaves_the_manifest_before_the_disk(house: House) -> None:
    house.publish(A)
    assert house.apply(house.plan(quota=0)) == 4
    assert house.manifest.peek(A.persona, A.topic) is None
    assert list(house.store.videos()) == []


def test_the_sidecar_goes_first(house: House) -> None:
    house.publish(A)
    suffixes = [deletion.path.suffix for deletion in house.plan(quota=0).deletions]
    assert suffixes == [".json", ".vtt", ".webp", ".mp4"]


def test_a_dry_run_changes_nothing_and_tells_everything(house: House) -> None:
    house.publish(A, "old")
    house.publish(A, "new")
    house.keep(B, age=40 * DAY)
    before, keys = house.files(), sorted(house.redis.keys())
    said = house.clean(dry_run=True)
    assert (house.files(), sorted(house.redis.keys())) == (before, keys)
    assert (said["expired_deleted"], said["orphaned_deleted"], said["lru_evicted"]) == (1, 1, 0)
    assert (len(said["deletions"]), said["bytes_freed"]) == (8, 0)
    done = house.clean()
    assert done["deletions"] == said["deletions"]
    assert done["bytes_freed"] == sum(item["bytes"] for item in said["deletions"])
    assert done["disk_usage_gb"] == pytest.approx(
        sum(film.bytes for film in house.store.videos()) / GIGABYTE
    )
    assert house.clean()["deletions"] == []


def test_other_files_and_gitkeep_stay_and_empty_topics_go(house: House) -> None:
    house.publish(A)
    house.keep(B, age=40 * DAY)
    topic = house.store.folder / A.persona / A.topic
    strangers = [house.store.folder / ".gitkeep", topic / "notes.txt", topic / "film.mp4"]
    for path in strangers:
        path.touch()
        os.utime(path, (0, 0))
    house.clean(quota_bytes=0)
    assert all(path.exists() for path in strangers)
    assert not (house.store.folder / B.persona / B.topic).exists()


def test_linked_folders_are_left_alone(house: House, tmp_path: Path) -> None:
    house.keep(A, age=40 * DAY)
    outside = tmp_path / "outside"
    (house.store.folder / A.persona).rename(outside)
    (house.store.folder / A.persona).symlink_to(outside)
    assert house.plan(quota=0).deletions == ()


def test_a_plan_made_before_a_link_appeared_deletes_nothing_outside(
    house: House, tmp_path: Path
) -> None:
    house.keep(A, age=40 * DAY)
    plan = house.plan()
    outside = tmp_path / "outside"
    (house.store.folder / A.persona).rename(outside)
    (house.store.folder / A.persona).symlink_to(outside)
    with pytest.raises(StorageError, match="high_utilization"):
        house.apply(plan)
    assert len(list(outside.rglob("*.*"))) == 4


def test_a_film_that_came_back_into_use_is_left_alone(house: House) -> None:
    old = house.publish(A, "old")
    house.publish(A, "new")
    lapsed = house.keep(B, age=40 * DAY)
    plan = house.plan()
    assert set(reasons(plan)) == {old.hash, lapsed.hash}
    house.publish(A, "old", age=2 * DAY)
    house.store.freshen(lapsed)
    assert house.apply(plan) == 0


def test_a_template_that_is_being_made_by_now_is_left_alone(house: House) -> None:
    house.keep(A, age=40 * DAY)
    plan = house.plan()
    with house.leases.acquire(A.key):
        assert house.apply(plan) == 0
    assert house.apply(plan) == 4


def test_a_film_replaced_since_the_plan_may_still_go(house: House) -> None:
    old = house.publish(A, "old")
    plan = house.plan(quota=0)
    new = house.publish(A, "new")
    assert house.apply(plan) == 4
    assert house.manifest.peek(A.persona, A.topic) == new
    assert not house.store.intact(old)
    assert house.store.intact(new)


def test_abandoned_scratch_folders_go_and_those_in_use_stay(house: House) -> None:
    with house.store.staging() as scratch:
        abandoned = scratch.with_name("abandoned")
        abandoned.mkdir()
        (abandoned / "film.mp4").write_bytes(b"x" * 1000)
        (planned,) = house.plan().deletions
        assert (planned.path, planned.bytes, planned.reason) == (abandoned, 1000, ORPHANED)
        report = house.clean()
        assert (report["orphaned_deleted"], report["bytes_freed"]) == (1, 1000)
        # Scratch never counted as disk usage, so its going frees none of it.
        assert report["disk_usage_gb"] == 0
        assert scratch.exists()
    assert not abandoned.exists()


def test_an_empty_or_missing_store_is_clean(house: House) -> None:
    assert house.clean()["deletions"] == []
    assert not house.store.folder.exists()


def test_a_processing_or_failed_entry_protects_the_last_film(house: House) -> None:
    house.keep(A)
    with house.leases.acquire(A.key) as lease:
        house.manifest.mark_failed(A, lease, "error", "render_error")
    assert house.plan().deletions == ()


def test_footage_that_a_template_asks_for_is_kept_for_ever(house: House) -> None:
    house.order(age=1000 * DAY)
    assert house.plan().footage == ()


def test_footage_that_nobody_asks_for_goes_after_months(house: House) -> None:
    order = house.order(request_digest="of an earlier prompt")
    house.order(B, age=80 * DAY, request_digest="of an earlier prompt")
    plan = house.plan()

    assert [(item.path.name, item.reason) for item in plan.deletions] == [
        (f"{order.id}.json", UNUSED_FOOTAGE),
        (f"{order.id}.mp4", UNUSED_FOOTAGE),
    ]
    assert house.apply(plan) == 2
    assert house.footage.orders(A) == []
    assert len(house.footage.orders(B)) == 1


@pytest.mark.parametrize("state", ["sending", "unknown", "submitted"])
def test_an_order_that_is_under_way_is_never_deleted(house: House, state: str) -> None:
    house.order(request_digest="of an earlier prompt", state=state)
    assert house.plan().footage == ()


def test_without_a_catalog_all_footage_is_wanted(house: House) -> None:
    house.order(request_digest="of an earlier prompt")
    assert house.plan(catalog=None).footage == ()


def test_footage_of_a_film_in_the_making_stays(house: House) -> None:
    house.order(request_digest="of an earlier prompt")
    plan = house.plan()
    with house.leases.acquire(A.key):
        assert house.apply(plan) == 0


def test_a_full_store_evicts_films_but_no_footage(house: House) -> None:
    order = house.order(age=HOUR)
    house.publish(B)
    plan = house.plan(quota=1, grace=0)

    assert {item.reason for item in plan.deletions} == {OVER_QUOTA}
    house.apply(plan)
    assert house.footage.intact(order)
