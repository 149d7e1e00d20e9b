from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from spritz_cli.errors import EncoderKilled, RenderError, StorageError
from spritz_cli.films import generate as pipeline
from spritz_cli.films.generate import PlanItem
from spritz_cli.media import ffmpeg
from spritz_cli.models import MicroUSD, Outcome, RenderedFilm, Template, Video
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import FakeTier, fake_redis, sample_template
from spritz_cli.tiers.base import Offer, Progress, TierUnavailable

TEMPLATE = sample_template(duration_seconds=5)


@dataclass
class Studio:
    """A store, a manifest and one tier, of this test only."""

    redis: Redis
    store: VideoStore
    manifest: VideoManifest
    leases: Leases
    tiers: list[FakeTier]

    def generate(self, template: Template = TEMPLATE, **options: Any) -> Outcome:
        return pipeline.generate_video(template, leases=self.leases, **self._parts(), **options)

    def wait_and_generate(self, template: Template = TEMPLATE) -> Outcome:
        return pipeline.generate_when_free(template, leases=self.leases, **self._parts())

    def plan(self, template: Template = TEMPLATE, *, force: bool = False) -> PlanItem:
        return pipeline.plan([template], force=force, **self._parts()).items[0]

    def plan_all(self, templates: list[Template], **options: Any) -> tuple[PlanItem, ...]:
        return pipeline.plan(templates, **self._parts(), **options).items

    def published(self) -> Video | None:
        return self.manifest.peek(TEMPLATE.persona, TEMPLATE.topic)

    def scratch(self) -> list[Path]:
        return [path for path in (self.store.folder / ".staging").iterdir() if path.is_dir()]

    def _parts(self) -> dict[str, Any]:
        return {"store": self.store, "manifest": self.manifest, "tiers": self.tiers}


def overwrite(path: Path) -> None:
    """Damage a film without changing its size."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\x00\xff\x00")


def urls(video: Video | None) -> list[str]:
    return [str(url) for url in (video.url, video.poster_url, video.captions_url)] if video else []


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    redis = fake_redis()
    store = VideoStore(tmp_path / "videos")
    return Studio(redis, store, VideoManifest(redis), Leases(redis), [FakeTier()])


def test_a_film_is_made_checked_stored_and_published(studio: Studio) -> None:
    outcome = studio.generate()

    assert outcome.status == "made"
    assert outcome.video == studio.published()
    assert outcome.video is not None
    assert studio.store.verify(outcome.video)
    assert outcome.video.fallback_used == "static"
    assert outcome.video.fallback_reason == "not_configured"
    assert studio.leases.holder(TEMPLATE.key) is None
    assert studio.scratch() == []


def test_a_current_film_is_not_made_again(studio: Studio) -> None:
    first = studio.generate()
    second = studio.generate()

    assert second.status == "unchanged"
    assert second.video == first.video
    assert studio.tiers[0].made == [TEMPLATE.name]


def test_force_makes_a_current_film_again(studio: Studio) -> None:
    studio.generate()

    assert studio.plan(force=True).reason == "forced"
    assert studio.generate(force=True).status == "made"


def test_a_template_without_a_film_is_new(studio: Studio) -> None:
    item = studio.plan()

    assert (item.action, item.reason, item.tier, item.video) == ("make", "new", "static", None)


def test_a_published_film_is_kept(studio: Studio) -> None:
    studio.generate()
    item = studio.plan()

    assert (item.action, item.reason) == ("keep", "up to date")


def test_changed_inputs_are_named(studio: Studio) -> None:
    studio.generate()
    edited = replace(TEMPLATE, parameters={**TEMPLATE.parameters, "payment": 2500})
    item = studio.plan(edited)

    assert (item.action, item.reason) == ("make", "inputs changed")
    assert item.differences == ("parameters.payment: 2150 → 2500",)


def test_a_film_whose_files_are_gone_is_made_again(studio: Studio) -> None:
    video = studio.generate().video
    assert video is not None
    studio.store.path(video).unlink()

    assert studio.plan().reason == "files missing"
    assert studio.generate().status == "made"
    assert studio.store.verify(video)


def test_an_entry_near_its_end_is_renewed_without_rendering(studio: Studio) -> None:
    studio.generate()
    studio.redis.expire(f"video:{TEMPLATE.key}", 3600)

    assert (studio.plan().action, studio.plan().reason) == ("renew", "expires soon")
    assert studio.generate().status == "unchanged"
    assert studio.plan().action == "keep"
    assert len(studio.tiers[0].made) == 1


def test_a_lost_manifest_is_restored_from_the_store_without_rendering(studio: Studio) -> None:
    before = studio.generate().video
    studio.redis.flushall()

    assert (studio.plan().action, studio.plan().reason) == ("renew", "found on disk")
    assert studio.generate().status == "unchanged"
    assert studio.published() == before
    assert len(studio.tiers[0].made) == 1


def test_a_damaged_film_on_disk_is_made_anew_when_the_manifest_is_lost(studio: Studio) -> None:
    video = studio.generate().video
    assert video is not None
    overwrite(studio.store.path(video))
    studio.redis.flushall()

    assert studio.generate().status == "made"
    assert studio.published() is not None
    assert studio.store.verify(video)
    assert len(studio.tiers[0].made) == 2


def test_another_url_prefix_reaches_the_manifest_without_rendering(studio: Studio) -> None:
    before = studio.generate().video
    assert before is not None
    studio.store = VideoStore(studio.store.folder, "https://cdn.example/v")

    assert (studio.plan().action, studio.plan().reason) == ("renew", "url prefix changed")
    assert studio.generate().status == "unchanged"
    assert urls(studio.published()) == [
        f"https://cdn.example/v/{TEMPLATE.name}/{before.hash}.{kind}"
        for kind in ("mp4", "webp", "vtt")
    ]
    assert studio.plan().action == "keep"
    assert len(studio.tiers[0].made) == 1


def test_an_entry_near_its_end_gets_the_new_url_prefix_and_a_new_life(studio: Studio) -> None:
    studio.generate()
    studio.redis.expire(f"video:{TEMPLATE.key}", 3600)
    studio.store = VideoStore(studio.store.folder, "/films")

    assert studio.generate().status == "unchanged"
    assert all(url.startswith("/films/") for url in urls(studio.published()))
    assert studio.plan().action == "keep"


def test_a_restored_manifest_has_the_url_prefix_of_today(studio: Studio) -> None:
    studio.generate()
    studio.redis.flushall()
    studio.store = VideoStore(studio.store.folder, "/films")

    assert studio.generate().status == "unchanged"
    assert all(url.startswith("/films/") for url in urls(studio.published()))
    assert studio.plan().action == "keep"


def test_a_damaged_film_does_not_move_to_another_url_prefix(studio: Studio) -> None:
    video = studio.generate().video
    assert video is not None
    overwrite(studio.store.path(video))
    studio.store = VideoStore(studio.store.folder, "/films")

    assert studio.generate().status == "made"
    assert studio.store.verify(video)


def test_a_stale_film_on_disk_does_not_restore_a_lost_manifest(studio: Studio) -> None:
    studio.generate()
    studio.redis.flushall()
    studio.tiers[0].shade = 120

    assert studio.plan().reason == "new"


def test_a_film_that_failed_is_tried_again(studio: Studio) -> None:
    studio.tiers[0].error = RenderError("the scene has no colour `indgo`")
    studio.generate()

    assert studio.plan().reason == "failed last time"
    studio.tiers[0].error = None
    assert studio.generate().status == "made"


def test_without_any_film_the_text_card_is_published(studio: Studio) -> None:
    studio.tiers[0].error = RenderError("the scene has no colour `indgo`")
    outcome = studio.generate()
    video = studio.published()

    assert (outcome.status, outcome.error) == ("failed", "the scene has no colour `indgo`")
    assert video is not None
    assert outcome.video == video
    assert (video.status, video.fallback_used) == ("failed", "text")
    assert (video.fallback_reason, video.error) == ("render_error", outcome.error)
    assert video.text_headline == TEMPLATE.card.headline
    assert studio.scratch() == []


def test_a_failure_leaves_the_live_film_live(studio: Studio) -> None:
    live = studio.generate().video
    studio.tiers[0].shade = 120
    studio.tiers[0].error = RenderError("ffmpeg failed")
    outcome = studio.generate()

    assert outcome.status == "failed"
    assert outcome.video == live == studio.published()


@dataclass
class Unlucky(FakeTier):
    """A tier whose encoder is killed for the first `times` films."""

    times: int = 1

    def make(self, template: Template, scratch: Path, progress: Progress) -> RenderedFilm:
        self.error = EncoderKilled("killed") if len(self.made) < self.times else None
        return super().make(template, scratch, progress)


def test_a_film_whose_encoder_is_killed_is_begun_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KILLED_PAUSES", (0.0, 0.0))
    studio.tiers = [Unlucky(times=2)]

    assert studio.generate().status == "made"


def test_a_film_whose_encoder_is_always_killed_fails(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KILLED_PAUSES", (0.0, 0.0))
    studio.tiers = [Unlucky(times=3)]

    assert (studio.generate().status, studio.generate().status) == ("failed", "made")


@dataclass
class Garbling(FakeTier):
    """A tier whose first `times` films do not play."""

    times: int = 1

    def make(self, template: Template, scratch: Path, progress: Progress) -> RenderedFilm:
        film = super().make(template, scratch, progress)
        if len(self.made) <= self.times:
            film.video.write_bytes(film.video.read_bytes()[:-200])
        return film


def test_a_film_that_does_not_play_is_made_again_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KILLED_PAUSES", (0.0, 0.0))
    studio.tiers = [Garbling(times=1)]

    assert studio.generate().status == "made"
    assert len(studio.tiers[0].made) == 2


def test_a_film_that_never_plays_fails_and_says_why(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KILLED_PAUSES", (0.0, 0.0))
    studio.tiers = [Garbling(times=9)]
    outcome = studio.generate()

    assert outcome.status == "failed"
    assert len(studio.tiers[0].made) == 2
    assert re.search("does not play: .*corrupt", outcome.error or "")


def test_the_next_tier_makes_the_film_and_says_why(studio: Studio) -> None:
    refused = TierUnavailable("the daily budget is used up", reason="budget")
    studio.tiers.insert(0, FakeTier("sora", error=refused))
    video = studio.generate().video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")
    assert video.error == "the daily budget is used up"
    assert (studio.plan().action, studio.plan().tier) == ("make", "sora")


def test_an_upgrade_that_fails_keeps_the_live_film_and_draws_nothing(studio: Studio) -> None:
    live = studio.generate().video
    studio.tiers.insert(0, FakeTier("sora", error=TierUnavailable("no", reason="provider_error")))
    outcome = studio.generate()

    assert (outcome.status, outcome.error, outcome.video) == ("unchanged", "no", live)
    assert studio.published() == live
    assert studio.tiers[1].made == [TEMPLATE.name]


def test_an_upgrade_takes_the_place_of_the_live_film(studio: Studio) -> None:
    studio.generate()
    studio.tiers.insert(0, FakeTier("sora", shade=120))

    assert studio.plan().reason == pipeline.UPGRADE
    video = studio.generate().video
    assert video is not None
    assert video == studio.published()
    assert video.fallback_used == "sora"


def test_a_tier_that_waits_is_not_asked_before_its_time(studio: Studio) -> None:
    live = studio.generate().video
    later = Offer(MicroUSD(1_600_000), time.time() + 60, "provider_error", "the provider is down")
    studio.tiers.insert(0, FakeTier("sora", offered=later))
    item = studio.plan()

    assert (item.action, item.cost_micros, item.obstacle) == ("keep", 0, "the provider is down")
    assert studio.generate().video == live
    assert studio.tiers[0].made == []


def test_a_forced_film_does_not_wait_but_never_steps_down(studio: Studio) -> None:
    studio.tiers.insert(0, FakeTier("sora", shade=120))
    live = studio.generate().video
    studio.tiers[0].offered = Offer(wait_until=time.time() + 60, reason="provider_error")
    studio.tiers[0].error = TierUnavailable("down", reason="provider_error")
    outcome = studio.generate(force=True)

    assert studio.tiers[0].made == [TEMPLATE.name] * 2
    assert (outcome.status, outcome.video) == ("unchanged", live)


def test_new_footage_that_cannot_be_had_leaves_the_old_below_the_same_drawing(
    studio: Studio,
) -> None:
    studio.tiers.insert(0, FakeTier("sora", footage="of last year"))
    live = studio.generate().video
    refused = TierUnavailable("no money", reason="budget")
    studio.tiers[0] = FakeTier("sora", footage="of this year", error=refused)

    assert studio.generate().video == live == studio.published()


def test_a_changed_word_below_footage_that_cannot_be_had_is_drawn(studio: Studio) -> None:
    studio.tiers.insert(0, FakeTier("sora", footage="of last year"))
    studio.generate()
    refused = TierUnavailable("no money", reason="budget")
    studio.tiers[0] = FakeTier("sora", footage="of this year", error=refused)
    video = studio.generate(replace(TEMPLATE, takeaway="Other words.")).video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")


def test_who_may_not_spend_gets_the_free_tier(studio: Studio) -> None:
    studio.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(1_600_000))))
    video = studio.generate(spending="nothing").video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")
    assert studio.tiers[0].made == []


def test_the_plan_draws_the_line_where_the_budget_ends(studio: Studio) -> None:
    studio.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(2_000_000))))
    dear = [replace(TEMPLATE, topic=topic, priority=rank) for rank, topic in enumerate("abc")]
    items = studio.plan_all(dear, budget=DailyBudget(studio.redis, cap_micros=MicroUSD(5_000_000)))

    assert [(item.tier, item.cost_micros, item.owed_micros) for item in items] == [
        ("static", 0, 2_000_000),
        ("sora", 2_000_000, 0),
        ("sora", 2_000_000, 0),
    ]
    assert [item.spending for item in items] == ["nothing", "capped", "capped"]


def test_among_equals_the_film_that_is_published_longest_gets_the_money(studio: Studio) -> None:
    early, late = (replace(TEMPLATE, topic=topic) for topic in ("early", "late"))
    studio.generate(early)
    studio.generate(late)
    studio.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(2_000_000))))
    budget = DailyBudget(studio.redis, cap_micros=MicroUSD(2_000_000))
    first, second = studio.plan_all([late, early], budget=budget)

    assert (first.action, first.owed_micros) == ("keep", 2_000_000)
    assert (second.action, second.cost_micros) == ("make", 2_000_000)


def test_the_best_tier_needs_no_reason(studio: Studio) -> None:
    studio.tiers.insert(0, FakeTier("sora"))
    video = studio.generate().video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason, video.error) == ("sora", None, None)


def test_a_failure_is_told_in_the_words_of_the_best_tier(studio: Studio) -> None:
    studio.tiers[0].error = RenderError("no frame at 2.0 s")
    refused = TierUnavailable("the prompt was refused", reason="moderation")
    studio.tiers.insert(0, FakeTier("sora", error=refused))

    assert studio.generate().error == "the prompt was refused"
    video = studio.published()
    assert video is not None
    assert video.fallback_reason == "moderation"


def test_a_film_of_the_wrong_length_is_never_published(studio: Studio) -> None:
    studio.tiers[0].seconds = 1.0
    outcome = studio.generate()

    assert outcome.status == "failed"
    assert outcome.error == f"{TEMPLATE.name}: the film lasts 6.00 s, not 5 s"
    assert list(studio.store.videos()) == []


def test_a_film_that_does_not_play_is_never_published(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ffmpeg.encode

    def cut_short(frames: Any, path: Path, **options: Any) -> None:
        encode(frames, path, **options)
        path.write_bytes(path.read_bytes()[:-200])

    monkeypatch.setattr(ffmpeg, "encode", cut_short)

    assert studio.generate().status == "failed"
    assert list(studio.store.videos()) == []


def test_a_film_in_the_making_is_busy_for_others(studio: Studio) -> None:
    with studio.leases.acquire(TEMPLATE.key) or pytest.fail("the lease is free"):
        assert studio.generate().status == "busy"
        assert studio.tiers[0].made == []


def test_a_first_film_is_announced_while_it_is_made(studio: Studio) -> None:
    seen: list[Video | None] = []
    studio.tiers[0].error = RenderError("stop here")
    make = studio.tiers[0].make

    def look(template: Template, scratch: Path, progress: Any) -> Any:
        seen.append(studio.published())
        return make(template, scratch, progress)

    studio.tiers[0].make = look  # type: ignore[method-assign]
    studio.generate()

    assert [video.status for video in seen if video] == ["processing"]


def test_whoever_waits_finds_the_film_that_the_other_made(studio: Studio) -> None:
    studio.tiers[0].pause = 0.5
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(studio.wait_and_generate()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.status for outcome in outcomes) == ["made", "unchanged", "unchanged"]
    assert studio.tiers[0].made == [TEMPLATE.name]


def test_a_process_that_lost_its_lease_stops_and_publishes_nothing(studio: Studio) -> None:
    studio.leases.ttl_seconds = 0.3
    studio.tiers[0].pause = 3.0
    thread_result: list[Outcome] = []
    thread = threading.Thread(target=lambda: thread_result.append(studio.generate()))
    thread.start()
    while not (holder := studio.leases.holder(TEMPLATE.key)):
        time.sleep(0.01)
    assert studio.leases.drop(TEMPLATE.key, holder.owner, holder.fence)
    thread.join()

    assert thread_result[0].status == "busy"
    assert thread_result[0].seconds < 2.0
    assert list(studio.store.videos()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_render_leaves_nothing_behind(
    studio: Studio, interruption: BaseException
) -> None:
    studio.tiers[0].error = interruption
    with pytest.raises(type(interruption)):
        studio.generate()

    assert studio.leases.holder(TEMPLATE.key) is None
    assert studio.scratch() == []
    assert list(studio.store.videos()) == []


def test_a_full_disk_is_named_by_its_directory(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=f"disk is full.* in {tmp_path}$"):
        ffmpeg.encode([bytes(64 * 36 * 4)] * 9, tmp_path / "film.mp4", width=64, height=36, fps=5)


def test_a_film_that_the_machine_could_not_make_reads_as_not_made_yet(studio: Studio) -> None:
    studio.tiers[0].error = StorageError("the disk is full", hint="Free some space.")
    with pytest.raises(StorageError, match="the disk is full"):
        studio.generate()

    assert studio.published() is None
    assert studio.plan().reason == "new"
    assert studio.leases.holder(TEMPLATE.key) is None


def test_the_machines_faults_leave_the_live_film_live(studio: Studio) -> None:
    live = studio.generate().video
    studio.tiers[0].error = StorageError("the disk is full")
    with pytest.raises(StorageError):
        studio.generate(force=True)

    assert studio.published() == live


def test_errors_that_are_not_ours_are_not_swallowed(studio: Studio) -> None:
    studio.tiers[0].error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        studio.generate()

    assert studio.leases.holder(TEMPLATE.key) is None


def test_planning_changes_nothing(studio: Studio) -> None:
    studio.plan()

    assert studio.redis.keys("*") == []
    assert not studio.store.folder.exists()


def test_what_was_edited_comes_before_what_follows_from_it(studio: Studio) -> None:
    studio.generate()
    parameters = {**TEMPLATE.parameters, "payment": 2500}
    edited = replace(TEMPLATE, alt="new", parameters=parameters, takeaway="so")
    causes = studio.plan(edited).differences
    assert causes[0].startswith("parameters.payment: ")
    assert len(causes) == 2
    assert causes[1].startswith("and 2 more, such as alt: ")


def test_renewing_a_film_counts_as_using_it(studio: Studio) -> None:
    video = studio.generate().video
    assert video is not None
    sidecar = studio.store.path(video).with_suffix(".json")
    before = sidecar.stat().st_mtime_ns
    studio.redis.pexpire(f"video:{TEMPLATE.key}", 60_000)
    assert studio.generate().status == "unchanged"
    assert sidecar.stat().st_mtime_ns > before
