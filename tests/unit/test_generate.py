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
from spritz_cli.films import planning
from spritz_cli.films.generate import generate_video, generate_when_free
from spritz_cli.films.planning import PlanItem
from spritz_cli.films.studio import Studio
from spritz_cli.media import ffmpeg
from spritz_cli.models import MicroUSD, Obstacle, Outcome, RenderedFilm, Template, Video
from spritz_cli.retries import Retries
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import FakeTier, fake_redis, sample_template
from spritz_cli.tiers.base import Offer, TierUnavailable

TEMPLATE = sample_template(duration_seconds=5)


@dataclass
class Rig:
    """A store, a manifest and one tier, of this test only."""

    redis: Redis
    store: VideoStore
    manifest: VideoManifest
    leases: Leases
    tiers: list[FakeTier]

    def generate(self, template: Template = TEMPLATE, **options: Any) -> Outcome:
        return generate_video(self.studio, self.plan(template, **options))

    def wait_and_generate(self, template: Template = TEMPLATE) -> Outcome:
        return generate_when_free(self.studio, self.plan(template))

    def plan(self, template: Template = TEMPLATE, **options: Any) -> PlanItem:
        return self.plan_all([template], **options)[0]

    def plan_all(
        self, templates: list[Template], budget: DailyBudget | None = None, **options: Any
    ) -> tuple[PlanItem, ...]:
        return planning.plan(replace(self.studio, budget=budget), templates, **options)

    def published(self) -> Video | None:
        return self.manifest.peek(TEMPLATE.persona, TEMPLATE.topic)

    def scratch(self) -> list[Path]:
        return [path for path in (self.store.folder / ".staging").iterdir() if path.is_dir()]

    @property
    def studio(self) -> Studio:
        return Studio(
            self.store, self.manifest, self.leases, self.tiers, retries=Retries((0.0, 0.0))
        )


def overwrite(path: Path) -> None:
    """Damage a film without changing its size."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\x00\xff\x00")


def urls(video: Video | None) -> list[str]:
    return [str(url) for url in (video.url, video.poster_url, video.captions_url)] if video else []


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    redis = fake_redis()
    store = VideoStore(tmp_path / "videos")
    return Rig(redis, store, VideoManifest(redis), Leases(redis), [FakeTier()])


def test_a_film_is_made_checked_stored_and_published(rig: Rig) -> None:
    outcome = rig.generate()

    assert outcome.status == "made"
    assert outcome.video == rig.published()
    assert outcome.video is not None
    assert rig.store.verify(outcome.video)
    assert outcome.video.fallback_used == "static"
    assert outcome.video.fallback_reason == "not_configured"
    assert rig.leases.holder(TEMPLATE.key) is None
    assert rig.scratch() == []


def test_a_film_is_judged_once_before_its_lease_and_once_under_it(rig: Rig) -> None:
    item, looks = rig.plan(), 0
    inputs = rig.tiers[0].inputs

    def counted(template: Template) -> dict[str, Any]:
        nonlocal looks
        looks += 1
        return inputs(template)

    rig.tiers[0].inputs = counted  # type: ignore[method-assign]

    assert generate_video(rig.studio, item).status == "made"
    assert looks == 2


def test_a_current_film_is_not_made_again(rig: Rig) -> None:
    first = rig.generate()
    second = rig.generate()

    assert second.status == "unchanged"
    assert second.video == first.video
    assert rig.tiers[0].made == [TEMPLATE.name]


def test_force_makes_a_current_film_again(rig: Rig) -> None:
    rig.generate()

    assert rig.plan(force=True).reason == "forced"
    assert rig.generate(force=True).status == "made"


def test_a_template_without_a_film_is_new(rig: Rig) -> None:
    item = rig.plan()

    assert (item.action, item.reason, item.tier, item.video) == ("make", "new", "static", None)


def test_a_published_film_is_kept(rig: Rig) -> None:
    rig.generate()
    item = rig.plan()

    assert (item.action, item.reason) == ("keep", "up to date")


def test_changed_inputs_are_named(rig: Rig) -> None:
    rig.generate()
    edited = replace(TEMPLATE, parameters={**TEMPLATE.parameters, "payment": 2500})
    item = rig.plan(edited)

    assert (item.action, item.reason) == ("make", "inputs changed")
    assert item.differences == ("parameters.payment: 2150 → 2500",)


def test_a_film_whose_files_are_gone_is_made_again(rig: Rig) -> None:
    video = rig.generate().video
    assert video is not None
    rig.store.path(video).unlink()

    assert rig.plan().reason == "files missing"
    assert rig.generate().status == "made"
    assert rig.store.verify(video)


def test_an_entry_near_its_end_is_renewed_without_rendering(rig: Rig) -> None:
    rig.generate()
    rig.redis.expire(f"video:{TEMPLATE.key}", 3600)

    assert (rig.plan().action, rig.plan().reason) == ("renew", "expires soon")
    assert rig.generate().status == "unchanged"
    assert rig.plan().action == "keep"
    assert len(rig.tiers[0].made) == 1


def test_a_lost_manifest_is_restored_from_the_store_without_rendering(rig: Rig) -> None:
    before = rig.generate().video
    rig.redis.flushall()

    assert (rig.plan().action, rig.plan().reason) == ("renew", "found on disk")
    assert rig.generate().status == "unchanged"
    assert rig.published() == before
    assert len(rig.tiers[0].made) == 1


def test_a_damaged_film_on_disk_is_made_anew_when_the_manifest_is_lost(rig: Rig) -> None:
    video = rig.generate().video
    assert video is not None
    overwrite(rig.store.path(video))
    rig.redis.flushall()

    assert rig.generate().status == "made"
    assert rig.published() is not None
    assert rig.store.verify(video)
    assert len(rig.tiers[0].made) == 2


def test_another_url_prefix_reaches_the_manifest_without_rendering(rig: Rig) -> None:
    before = rig.generate().video
    assert before is not None
    rig.store = VideoStore(rig.store.folder, "https://cdn.example/v")

    assert (rig.plan().action, rig.plan().reason) == ("renew", "url prefix changed")
    assert rig.generate().status == "unchanged"
    assert urls(rig.published()) == [
        f"https://cdn.example/v/{TEMPLATE.name}/{before.hash}.{kind}"
        for kind in ("mp4", "webp", "vtt")
    ]
    assert rig.plan().action == "keep"
    assert len(rig.tiers[0].made) == 1


def test_an_entry_near_its_end_gets_the_new_url_prefix_and_a_new_life(rig: Rig) -> None:
    rig.generate()
    rig.redis.expire(f"video:{TEMPLATE.key}", 3600)
    rig.store = VideoStore(rig.store.folder, "/films")

    assert rig.generate().status == "unchanged"
    assert all(url.startswith("/films/") for url in urls(rig.published()))
    assert rig.plan().action == "keep"


def test_a_restored_manifest_has_the_url_prefix_of_today(rig: Rig) -> None:
    rig.generate()
    rig.redis.flushall()
    rig.store = VideoStore(rig.store.folder, "/films")

    assert rig.generate().status == "unchanged"
    assert all(url.startswith("/films/") for url in urls(rig.published()))
    assert rig.plan().action == "keep"


def test_a_damaged_film_does_not_move_to_another_url_prefix(rig: Rig) -> None:
    video = rig.generate().video
    assert video is not None
    overwrite(rig.store.path(video))
    rig.store = VideoStore(rig.store.folder, "/films")

    assert rig.generate().status == "made"
    assert rig.store.verify(video)


def test_a_stale_film_on_disk_does_not_restore_a_lost_manifest(rig: Rig) -> None:
    rig.generate()
    rig.redis.flushall()
    rig.tiers[0].shade = 120

    assert rig.plan().reason == "new"


def test_a_film_that_failed_is_tried_again(rig: Rig) -> None:
    rig.tiers[0].error = RenderError("the scene has no colour `indgo`")
    rig.generate()

    assert rig.plan().reason == "failed last time"
    rig.tiers[0].error = None
    assert rig.generate().status == "made"


def test_without_any_film_the_text_card_is_published(rig: Rig) -> None:
    rig.tiers[0].error = RenderError("the scene has no colour `indgo`")
    outcome = rig.generate()
    video = rig.published()

    assert (outcome.status, outcome.error) == ("failed", "the scene has no colour `indgo`")
    assert video is not None
    assert outcome.video == video
    assert (video.status, video.fallback_used) == ("failed", "text")
    assert (video.fallback_reason, video.error) == ("render_error", outcome.error)
    assert video.text_headline == TEMPLATE.card.headline
    assert rig.scratch() == []


def test_a_failure_leaves_the_live_film_live(rig: Rig) -> None:
    live = rig.generate().video
    rig.tiers[0].shade = 120
    rig.tiers[0].error = RenderError("ffmpeg failed")
    outcome = rig.generate()

    assert outcome.status == "failed"
    assert outcome.video == live == rig.published()


@dataclass
class Unlucky(FakeTier):
    """A tier whose encoder is killed for the first `times` films."""

    times: int = 1

    def make(self, *details: Any) -> RenderedFilm:
        self.error = EncoderKilled("killed") if len(self.made) < self.times else None
        return super().make(*details)


def test_a_film_whose_encoder_is_killed_is_begun_again(rig: Rig) -> None:
    rig.tiers = [Unlucky(times=2)]

    assert rig.generate().status == "made"


def test_a_film_whose_encoder_is_always_killed_fails(rig: Rig) -> None:
    rig.tiers = [Unlucky(times=3)]

    assert (rig.generate().status, rig.generate().status) == ("failed", "made")


@dataclass
class Garbling(FakeTier):
    """A tier whose first `times` films do not play."""

    times: int = 1

    def make(self, *details: Any) -> RenderedFilm:
        film = super().make(*details)
        if len(self.made) <= self.times:
            film.video.write_bytes(film.video.read_bytes()[:-200])
        return film


def test_a_film_that_does_not_play_is_made_again_once(rig: Rig) -> None:
    rig.tiers = [Garbling(times=1)]

    assert rig.generate().status == "made"
    assert len(rig.tiers[0].made) == 2


def test_a_film_that_never_plays_fails_and_says_why(rig: Rig) -> None:
    rig.tiers = [Garbling(times=9)]
    outcome = rig.generate()

    assert outcome.status == "failed"
    assert len(rig.tiers[0].made) == 2
    assert re.search("does not play: .*corrupt", outcome.error or "")


def test_the_next_tier_makes_the_film_and_says_why(rig: Rig) -> None:
    refused = TierUnavailable(Obstacle("budget", "the daily budget is used up"))
    rig.tiers.insert(0, FakeTier("sora", error=refused))
    video = rig.generate().video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")
    assert video.error == "the daily budget is used up"
    assert (rig.plan().action, rig.plan().tier) == ("make", "sora")


def test_an_upgrade_that_fails_keeps_the_live_film_and_draws_nothing(rig: Rig) -> None:
    live = rig.generate().video
    rig.tiers.insert(0, FakeTier("sora", error=TierUnavailable(Obstacle("provider_error", "no"))))
    outcome = rig.generate()

    assert (outcome.status, outcome.error, outcome.video) == ("unchanged", "no", live)
    assert rig.published() == live
    assert rig.tiers[1].made == [TEMPLATE.name]


def test_an_upgrade_takes_the_place_of_the_live_film(rig: Rig) -> None:
    rig.generate()
    rig.tiers.insert(0, FakeTier("sora", shade=120))

    assert rig.plan().reason == planning.UPGRADE
    video = rig.generate().video
    assert video is not None
    assert video == rig.published()
    assert video.fallback_used == "sora"


def test_a_tier_that_waits_is_not_asked_before_its_time(rig: Rig) -> None:
    live = rig.generate().video
    later = Offer(
        MicroUSD(1_600_000), Obstacle("provider_error", "the provider is down", time.time() + 60)
    )
    rig.tiers.insert(0, FakeTier("sora", offered=later))
    item = rig.plan()

    assert (item.action, item.cost_micros, item.obstacle) == ("keep", 0, later.obstacle)
    assert rig.generate().video == live
    assert rig.tiers[0].made == []


def test_a_forced_film_does_not_wait_but_never_steps_down(rig: Rig) -> None:
    rig.tiers.insert(0, FakeTier("sora", shade=120))
    live = rig.generate().video
    rig.tiers[0].offered = Offer(obstacle=Obstacle("provider_error", until=time.time() + 60))
    rig.tiers[0].error = TierUnavailable(Obstacle("provider_error", "down"))
    outcome = rig.generate(force=True)

    assert rig.tiers[0].made == [TEMPLATE.name] * 2
    assert (outcome.status, outcome.video) == ("unchanged", live)


def test_new_footage_that_cannot_be_had_leaves_the_old_below_the_same_drawing(
    rig: Rig,
) -> None:
    rig.tiers.insert(0, FakeTier("sora", footage="of last year"))
    live = rig.generate().video
    refused = TierUnavailable(Obstacle("budget", "no money"))
    rig.tiers[0] = FakeTier("sora", footage="of this year", error=refused)

    assert rig.generate().video == live == rig.published()


def test_a_changed_word_below_footage_that_cannot_be_had_is_drawn(rig: Rig) -> None:
    rig.tiers.insert(0, FakeTier("sora", footage="of last year"))
    rig.generate()
    refused = TierUnavailable(Obstacle("budget", "no money"))
    rig.tiers[0] = FakeTier("sora", footage="of this year", error=refused)
    video = rig.generate(replace(TEMPLATE, takeaway="Other words.")).video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")


def test_who_may_not_spend_gets_the_free_tier(rig: Rig) -> None:
    rig.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(1_600_000))))
    video = rig.generate(spending="nothing").video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason) == ("static", "budget")
    assert rig.tiers[0].made == []


def test_the_plan_draws_the_line_where_the_budget_ends(rig: Rig) -> None:
    rig.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(2_000_000))))
    dear = [replace(TEMPLATE, topic=topic, priority=rank) for rank, topic in enumerate("abc")]
    items = rig.plan_all(dear, budget=DailyBudget(rig.redis, cap_micros=MicroUSD(5_000_000)))

    assert [(item.tier, item.cost_micros, item.owed_micros) for item in items] == [
        ("static", 0, 2_000_000),
        ("sora", 2_000_000, 0),
        ("sora", 2_000_000, 0),
    ]
    assert [item.spending for item in items] == ["nothing", "capped", "capped"]


def test_among_equals_the_film_that_is_published_longest_gets_the_money(rig: Rig) -> None:
    early, late = (replace(TEMPLATE, topic=topic) for topic in ("early", "late"))
    rig.generate(early)
    rig.generate(late)
    rig.tiers.insert(0, FakeTier("sora", offered=Offer(MicroUSD(2_000_000))))
    budget = DailyBudget(rig.redis, cap_micros=MicroUSD(2_000_000))
    first, second = rig.plan_all([late, early], budget=budget)

    assert (first.action, first.owed_micros) == ("keep", 2_000_000)
    assert (second.action, second.cost_micros) == ("make", 2_000_000)


def test_the_best_tier_needs_no_reason(rig: Rig) -> None:
    rig.tiers.insert(0, FakeTier("sora"))
    video = rig.generate().video

    assert video is not None
    assert (video.fallback_used, video.fallback_reason, video.error) == ("sora", None, None)


def test_a_failure_is_told_in_the_words_of_the_best_tier(rig: Rig) -> None:
    rig.tiers[0].error = RenderError("no frame at 2.0 s")
    refused = TierUnavailable(Obstacle("moderation", "the prompt was refused"))
    rig.tiers.insert(0, FakeTier("sora", error=refused))

    assert rig.generate().error == "the prompt was refused"
    video = rig.published()
    assert video is not None
    assert video.fallback_reason == "moderation"


def test_a_film_of_the_wrong_length_is_never_published(rig: Rig) -> None:
    rig.tiers[0].seconds = 1.0
    outcome = rig.generate()

    assert outcome.status == "failed"
    assert outcome.error == f"{TEMPLATE.name}: the film lasts 6.00 s, not 5 s"
    assert list(rig.store.videos()) == []


def test_a_film_that_does_not_play_is_never_published(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ffmpeg.encode

    def cut_short(frames: Any, path: Path, **options: Any) -> None:
        encode(frames, path, **options)
        path.write_bytes(path.read_bytes()[:-200])

    monkeypatch.setattr(ffmpeg, "encode", cut_short)

    assert rig.generate().status == "failed"
    assert list(rig.store.videos()) == []


def test_a_film_in_the_making_is_busy_for_others(rig: Rig) -> None:
    with rig.leases.acquire(TEMPLATE.key) or pytest.fail("the lease is free"):
        assert rig.generate().status == "busy"
        assert rig.tiers[0].made == []


def test_a_first_film_is_announced_while_it_is_made(rig: Rig) -> None:
    seen: list[Video | None] = []
    rig.tiers[0].error = RenderError("stop here")
    make = rig.tiers[0].make

    def look(*details: Any) -> Any:
        seen.append(rig.published())
        return make(*details)

    rig.tiers[0].make = look  # type: ignore[method-assign, assignment]
    rig.generate()

    assert [video.status for video in seen if video] == ["processing"]


def test_whoever_waits_finds_the_film_that_the_other_made(rig: Rig) -> None:
    rig.tiers[0].pause = 0.5
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(rig.wait_and_generate())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.status for outcome in outcomes) == ["made", "unchanged", "unchanged"]
    assert rig.tiers[0].made == [TEMPLATE.name]


def test_a_process_that_lost_its_lease_stops_and_publishes_nothing(rig: Rig) -> None:
    rig.leases.ttl_seconds = 0.3
    rig.tiers[0].pause = 3.0
    thread_result: list[Outcome] = []
    thread = threading.Thread(target=lambda: thread_result.append(rig.generate()))
    thread.start()
    while not (holder := rig.leases.holder(TEMPLATE.key)):
        time.sleep(0.01)
    assert rig.leases.drop(TEMPLATE.key, holder.owner, holder.fence)
    thread.join()

    assert thread_result[0].status == "busy"
    assert thread_result[0].seconds < 2.0
    assert list(rig.store.videos()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_render_leaves_nothing_behind(rig: Rig, interruption: BaseException) -> None:
    rig.tiers[0].error = interruption
    with pytest.raises(type(interruption)):
        rig.generate()

    assert rig.leases.holder(TEMPLATE.key) is None
    assert rig.scratch() == []
    assert list(rig.store.videos()) == []


def test_a_full_disk_is_named_by_its_directory(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=f"disk is full.* in {tmp_path}$"):
        ffmpeg.encode([bytes(64 * 36 * 4)] * 9, tmp_path / "film.mp4", width=64, height=36, fps=5)


def test_a_film_that_the_machine_could_not_make_reads_as_not_made_yet(rig: Rig) -> None:
    rig.tiers[0].error = StorageError("the disk is full", hint="Free some space.")
    with pytest.raises(StorageError, match="the disk is full"):
        rig.generate()

    assert rig.published() is None
    assert rig.plan().reason == "new"
    assert rig.leases.holder(TEMPLATE.key) is None


def test_the_machines_faults_leave_the_live_film_live(rig: Rig) -> None:
    live = rig.generate().video
    rig.tiers[0].error = StorageError("the disk is full")
    with pytest.raises(StorageError):
        rig.generate(force=True)

    assert rig.published() == live


def test_errors_that_are_not_ours_are_not_swallowed(rig: Rig) -> None:
    rig.tiers[0].error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        rig.generate()

    assert rig.leases.holder(TEMPLATE.key) is None


def test_planning_changes_nothing(rig: Rig) -> None:
    rig.plan()

    assert rig.redis.keys("*") == []
    assert not rig.store.folder.exists()


def test_what_was_edited_comes_before_what_follows_from_it(rig: Rig) -> None:
    rig.generate()
    parameters = {**TEMPLATE.parameters, "payment": 2500}
    edited = replace(TEMPLATE, alt="new", parameters=parameters, takeaway="so")
    causes = rig.plan(edited).differences
    assert causes[0].startswith("parameters.payment: ")
    assert len(causes) == 2
    assert causes[1].startswith("and 2 more, such as alt: ")


def test_renewing_a_film_counts_as_using_it(rig: Rig) -> None:
    video = rig.generate().video
    assert video is not None
    sidecar = rig.store.path(video).with_suffix(".json")
    before = sidecar.stat().st_mtime_ns
    rig.redis.pexpire(f"video:{TEMPLATE.key}", 60_000)
    assert rig.generate().status == "unchanged"
    assert sidecar.stat().st_mtime_ns > before
