from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from spritz_cli.catalog.providers import load_profile
from spritz_cli.errors import RedisUnavailable
from spritz_cli.media import ffmpeg
from spritz_cli.models import NEVER, MicroUSD, Template
from spritz_cli.scene import tokens
from spritz_cli.settings import shipped
from spritz_cli.storage.budget import DEFAULT_CAP_MICROS, DailyBudget
from spritz_cli.storage.footage import MOST_UNNOTED, FootageStore, Order
from spritz_cli.storage.provider_state import Circuit, Gate, Slots
from spritz_cli.testing import fake_redis, sample_order, sample_template
from spritz_cli.tiers.base import TierUnavailable
from spritz_cli.tiers.brief import brief_for, footage_in_hand
from spritz_cli.tiers.compositing import clip_of
from spritz_cli.tiers.provider import Provider
from spritz_cli.tiers.purchase import Purchase
from spritz_cli.videos_api import client
from spritz_cli.videos_api.client import VideosAPI
from spritz_cli.videos_api.profile import Profile
from tests.videos_server.videos_api import QUIRKS, FakeVideosAPI

#: One segment of 4 s at $0.10 a second.
PRICE = MicroUSD(400_000)
TEMPLATE = sample_template(duration_seconds=4)
LONG = sample_template(duration_seconds=18)


@dataclass
class Shop:
    """A provider behind real HTTP, and a buyer with its own budget."""

    api: FakeVideosAPI
    footage: FootageStore
    redis: Redis
    scratch: Path
    profile: Profile
    cap_micros: MicroUSD | None = DEFAULT_CAP_MICROS
    deadline_seconds: float = 3.0
    key: str = "sk-of-this-test"
    gate: type[Gate] = Gate

    @property
    def budget(self) -> DailyBudget:
        return DailyBudget(self.redis, cap_micros=self.cap_micros)

    @property
    def provider(self) -> Provider:
        shared = self.redis, "video:", self.profile.name
        return Provider(
            profile=replace(self.profile, base_url=self.api.base_url),
            model=self.profile.model,
            connect=self._connect,
            budget=self.budget,
            circuit=Circuit(*shared),
            slots=Slots(*shared, self.profile.max_in_flight),
            gate=self.gate(*shared),
            deadline_seconds=self.deadline_seconds,
            sleep=_nap,
        )

    def buy(self, template: Template = TEMPLATE) -> list[Order]:
        provider = self.provider
        brief = brief_for(template, provider.profile, provider.model)
        return Purchase(brief, provider, self.footage, lambda share, stage="": None).segments(
            self.scratch
        )

    def refused(self, template: Template = TEMPLATE) -> TierUnavailable:
        with pytest.raises(TierUnavailable) as caught:
            self.buy(template)
        return caught.value

    def outcome(self, template: Template = TEMPLATE) -> str:
        try:
            orders = self.buy(template)
        except TierUnavailable as exc:
            return exc.obstacle.reason
        assert all(self.footage.intact(order) for order in orders)
        return "made"

    def states(self, template: Template = TEMPLATE) -> list[str]:
        return [order.state for order in self.footage.orders(template)]

    @property
    def used(self) -> int:
        return self.budget.today().used

    def _connect(self) -> VideosAPI:
        base = self.api.base_url
        return VideosAPI(self.profile, self.key, base_url=base, sleep=_nap, jitter=lambda: 0.5)


def _nap(seconds: float) -> None:
    time.sleep(min(seconds, 0.02))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    profile = load_profile("openai", [shipped("providers.yaml")])
    quick = replace(profile, reconcile_after_seconds=0.2)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with FakeVideosAPI(job_seconds=0.05, api_key=Shop.key) as api:
        yield Shop(api, FootageStore(tmp_path / "videos"), fake_redis(), scratch, quick)


def test_a_segment_is_ordered_paid_and_stored(shop: Shop) -> None:
    [order] = shop.buy()

    assert (order.state, order.cost_micros, order.remote_id) == (
        "stored",
        PRICE,
        shop.api.jobs[0].id,
    )
    assert order.ai_generated
    assert clip_of(order, shop.footage.path(order)) == ffmpeg.footage(
        shop.footage.path(order), tokens.FPS
    )
    assert (order.fps, order.frames) == (tokens.FPS, 4 * tokens.FPS)
    assert shop.footage.path(order).stat().st_size == order.bytes
    today = shop.budget.today()
    assert (today.spent, today.held) == (PRICE, 0)


def test_footage_is_bought_once(shop: Shop) -> None:
    assert shop.buy() == shop.buy()
    assert shop.api.posts == 1


def test_a_long_film_is_bought_in_parts(shop: Shop) -> None:
    orders = shop.buy(LONG)

    assert [(order.part, order.seconds) for order in orders] == [(1, 12), (2, 8)]
    assert "Shot 2 of 2" in orders[1].prompt
    assert shop.used == 2_000_000


def test_footage_that_was_paid_for_needs_no_provider(shop: Shop) -> None:
    orders = shop.buy()

    assert footage_in_hand(TEMPLATE, shop.footage) == orders
    assert footage_in_hand(replace(TEMPLATE, takeaway="New words"), shop.footage) == orders
    assert footage_in_hand(replace(TEMPLATE, take=2), shop.footage) == []


def test_another_take_is_another_purchase(shop: Shop) -> None:
    shop.buy()
    shop.buy(replace(TEMPLATE, take=2))

    assert shop.api.posts == 2


def test_a_film_is_bought_whole_or_not_at_all(shop: Shop) -> None:
    shop.cap_micros = MicroUSD(1_900_000)

    assert shop.refused(LONG).obstacle.reason == "budget"
    assert (shop.api.posts, shop.used) == (0, 0)


def test_without_a_cap_everything_is_bought_and_recorded(shop: Shop) -> None:
    shop.cap_micros = None

    assert shop.outcome(LONG) == "made"
    assert shop.used == 2_000_000


def test_a_model_without_a_price_is_refused(shop: Shop) -> None:
    shop.profile = replace(shop.profile, prices={})

    assert shop.refused().obstacle.reason == "unpriced"
    assert shop.api.posts == 0


@pytest.mark.parametrize("quirk", ["bad_key", "insufficient_quota", "payment_required"])
def test_a_provider_that_refuses_everybody_costs_one_call(shop: Shop, quirk: str) -> None:
    shop.api.behave(quirk)
    templates = [replace(TEMPLATE, topic=topic) for topic in ("a", "b", "c")]

    assert [shop.outcome(template) for template in templates] == ["provider_error"] * 3
    assert shop.api.posts == 1
    assert shop.used == 0


def test_a_provider_that_is_away_costs_nothing(shop: Shop) -> None:
    shop.api.close()

    assert shop.refused().obstacle.reason == "provider_error"
    assert shop.states() == ["refused"]
    assert shop.used == 0


def test_a_refused_order_is_sent_once_the_provider_takes_it(shop: Shop) -> None:
    shop.api.behave("payment_required")
    shop.outcome()
    shop.api.behave("")
    shop.provider.circuit.close()

    assert shop.outcome() == "made"
    assert (shop.used, len(shop.api.jobs)) == (PRICE, 1)


def test_a_second_part_that_is_refused_leaves_the_first_for_the_next_run(shop: Shop) -> None:
    shop.profile = replace(shop.profile, max_in_flight=1)
    shop.api.behave("never_finishes")
    shop.deadline_seconds = 0.3
    assert shop.outcome(LONG) == "provider_error"
    assert sorted(shop.states(LONG)) == ["refused", "submitted"]
    assert shop.used == 1_200_000

    shop.api.behave("")
    shop.deadline_seconds = 5.0
    assert shop.outcome(LONG) == "made"
    assert (len(shop.api.jobs), shop.used) == (2, 2_000_000)


def test_a_job_that_takes_too_long_is_waited_for_by_the_next_run(shop: Shop) -> None:
    shop.api.behave("never_finishes")
    shop.deadline_seconds = 0.3
    assert "still runs" in shop.refused().message

    shop.api.behave("")
    assert shop.outcome() == "made"
    assert shop.api.posts == 1


def test_footage_that_vanished_from_the_disk_is_fetched_again_for_nothing(shop: Shop) -> None:
    [order] = shop.buy()
    shop.footage.path(order).unlink()

    assert shop.buy()[0].sha256 == order.sha256
    assert (shop.api.posts, shop.used) == (1, PRICE)


def test_a_job_that_failed_is_tried_once_more_and_never_again(shop: Shop) -> None:
    shop.api.behave("job_fails")
    assert [shop.outcome() for _ in range(4)] == ["provider_error"] * 4

    assert shop.states() == ["failed", "failed"]
    assert (shop.api.posts, shop.used) == (2, 2 * PRICE)
    assert shop.refused().obstacle.until == NEVER


def test_a_lost_redis_does_not_open_the_budget_again(shop: Shop) -> None:
    shop.cap_micros = PRICE
    shop.buy()
    shop.redis.flushall()

    assert shop.outcome(replace(TEMPLATE, topic="another")) == "budget"
    assert shop.used == PRICE


def test_a_lost_redis_does_not_open_the_budget_again_among_many_old_orders(shop: Shop) -> None:
    old = sample_order(replace(TEMPLATE, topic="old"), day="2026-01-31")
    for number in range(MOST_UNNOTED + 1):
        shop.footage.record(old._replace(id=f"{number:016x}"))
    shop.cap_micros = MicroUSD(2 * PRICE)
    for topic in ("one", "two"):
        assert shop.outcome(replace(TEMPLATE, topic=topic)) == "made"
        assert (shop.footage.folder / ".settled.json").exists()
        shop.redis.flushall()

    assert shop.outcome(replace(TEMPLATE, topic="three")) == "budget"
    assert shop.used == 2 * PRICE


def test_an_order_that_was_surely_not_sent_is_sent(shop: Shop) -> None:
    order = _interrupted(shop, "intended")

    assert shop.buy()[0].id == order.id
    assert (shop.api.posts, shop.used) == (1, PRICE)


def test_an_order_that_never_arrived_is_sent_after_asking(shop: Shop) -> None:
    _interrupted(shop, "sending", sent_at=time.time())

    assert shop.outcome() == "made"
    assert (shop.api.posts, shop.used) == (1, PRICE)


def test_an_order_that_did_arrive_is_found_and_not_sent_again(shop: Shop) -> None:
    shop.api.behave("never_finishes")
    shop.deadline_seconds = 0.2
    shop.outcome()
    [order] = shop.footage.orders(TEMPLATE)
    shop.footage.record(order._replace(state="sending", remote_id=None))
    shop.api.behave("")

    assert shop.outcome() == "made"
    assert (shop.api.posts, shop.used) == (1, PRICE)


def test_where_the_provider_lists_nothing_a_doubtful_order_stays_held(shop: Shop) -> None:
    shop.profile = replace(shop.profile, lists=False)
    _interrupted(shop, "sending", sent_at=time.time())
    shop.budget.reserve([shop.footage.orders(TEMPLATE)[0].charge])

    assert [shop.outcome() for _ in range(3)] == ["provider_error"] * 3
    assert (shop.api.posts, shop.states(), shop.used) == (0, ["unknown"], PRICE)


class LostRedis(Gate):
    """A gate whose server is lost while the request is under way."""

    def leave(self, owner: str, proven: bool) -> None:
        raise RedisUnavailable("Redis: gone")


def test_the_id_of_a_paid_job_is_recorded_before_anything_else_can_fail(shop: Shop) -> None:
    shop.gate = LostRedis
    with pytest.raises(RedisUnavailable):
        shop.buy()
    assert [order.remote_id for order in shop.footage.orders(TEMPLATE)] == [shop.api.jobs[0].id]

    shop.gate = Gate
    assert shop.outcome() == "made"
    assert (shop.api.posts, shop.used) == (1, PRICE)


def test_an_order_that_was_refused_is_recorded_before_anything_else_can_fail(shop: Shop) -> None:
    shop.gate = LostRedis
    shop.api.behave("payment_required")
    with pytest.raises(RedisUnavailable):
        shop.buy()
    assert shop.states() == ["refused"]


def test_a_key_that_cannot_be_sent_costs_nothing(shop: Shop) -> None:
    shop.key = "sk-\nof"

    assert shop.refused().obstacle.reason == "provider_error"
    assert (shop.states(), shop.used, shop.api.posts) == (["refused"], 0, 0)


def _interrupted(shop: Shop, state: Any, **changes: Any) -> Order:
    """Leave an order as a process that is killed in that state leaves it."""
    shop.api.close()
    shop.outcome()
    [order] = shop.footage.orders(TEMPLATE)
    shop.api.start()
    shop.provider.circuit.close()
    today = shop.budget.today().date
    return shop.footage.record(order._replace(state=state, day=today, **changes))


#: Deviation -> outcome of one film, number of POSTs, charge of the provider in micro-dollars.
DEVIATIONS: dict[str, tuple[str, int, int]] = {
    "": ("made", 1, PRICE),
    "completes_too_early": ("made", 1, PRICE),
    "flaky_polls": ("made", 1, PRICE),
    "litellm_drifting_ids": ("made", 1, PRICE),
    "litellm_processing": ("made", 1, PRICE),
    "list_unsupported": ("made", 1, PRICE),
    "openai_strict": ("made", 1, PRICE),
    "redirect_content": ("made", 1, PRICE),
    "redirect_cross_origin": ("made", 1, PRICE),
    "sglang_variant_404": ("made", 1, PRICE),
    "signed_urls": ("made", 1, PRICE),
    "sglang_cloud_url": ("made", 1, PRICE),
    "strict_accept": ("made", 1, PRICE),
    "unknown_status": ("made", 1, PRICE),
    "wrong_size": ("made", 1, PRICE),
    "gemini": ("made", 1, PRICE),
    "openrouter": ("made", 1, PRICE),
    "sglang_int_seconds": ("made", 1, PRICE),
    "vllm_multipart_only": ("made", 1, PRICE),
    "vllm_forgets": ("made", 1, PRICE),
    # Refused at first, accepted later
    "rate_limited": ("made", 2, PRICE),
    "sglang_warming_up": ("made", 2, PRICE),
    # The answer to the POST is lost: the list shows whether the job exists
    "html_200": ("made", 1, PRICE),
    "post_500_created": ("made", 1, PRICE),
    "reset_after_post": ("made", 1, PRICE),
    "slow_post_timeout": ("made", 1, PRICE),
    "post_500_refused": ("provider_error", 1, 0),
    "reset_before_reading": ("provider_error", 1, 0),
    "reset_after_post, list_unsupported": ("provider_error", 1, PRICE),
    "reset_after_post, list_without_prompts": ("provider_error", 1, PRICE),
    "post_500_created, litellm_list_refused": ("provider_error", 1, PRICE),
    "html_200_refused": ("provider_error", 1, 0),
    # Refused, and nothing is charged
    "bad_key": ("provider_error", 1, 0),
    "azure_api_key": ("provider_error", 1, 0),
    "insufficient_quota": ("provider_error", 1, 0),
    "payment_required": ("provider_error", 1, 0),
    "moderation_at_post": ("moderation", 1, 0),
    "moderation_at_post, litellm_wrapped_errors": ("moderation", 1, 0),
    "rate_limited_always": ("provider_error", 3, 0),
    # Accepted, and then nothing usable: charged
    "moderation_in_job": ("moderation", 1, PRICE),
    "job_fails": ("provider_error", 1, PRICE),
    "job_expires": ("provider_error", 1, PRICE),
    "sglang_error_without_code": ("provider_error", 1, PRICE),
    "vllm_failed_as_500": ("provider_error", 1, PRICE),
    "litellm_failed_as_completed": ("provider_error", 1, PRICE),
    "json_as_content": ("provider_error", 1, PRICE),
    "empty_content": ("provider_error", 1, PRICE),
    "garbage_video": ("provider_error", 1, PRICE),
    "short_video": ("made", 1, PRICE),
    "truncated_body": ("provider_error", 1, PRICE),
    "never_finishes": ("provider_error", 1, PRICE),
}


@pytest.mark.parametrize("quirk", DEVIATIONS)
def test_a_deviation_never_costs_more_than_the_budget_knows(
    shop: Shop,
    quirk: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Any,
) -> None:
    monkeypatch.setattr(client, "POST_SECONDS", 0.5)
    shop.profile = _profile_for(shop.profile, quirk)
    shop.deadline_seconds = 0.5 if quirk == "never_finishes" else 5.0
    shop.api.behave(quirk)
    outcome = shop.outcome()
    charged = round(shop.api.charged_usd * 1_000_000)
    record_property("deviation", (quirk or "(none)", outcome, shop.api.posts, charged, shop.used))

    assert (outcome, shop.api.posts, charged) == DEVIATIONS[quirk]
    assert shop.used >= charged
    assert shop.api.leaks == []


def test_every_deviation_of_the_fake_server_is_in_the_table() -> None:
    named = {name for names in DEVIATIONS for name in names.split(", ")}
    assert set(QUIRKS) == named - {""}


def _profile_for(profile: Profile, quirk: str) -> Profile:
    """Return the profile of a server with this deviation."""
    name = {
        "gemini": "gemini-compat",
        "openrouter": "openrouter",
        "sglang_int_seconds": "sglang",
        "vllm_multipart_only": "vllm-omni",
        "vllm_forgets": "vllm-omni",
    }.get(quirk)
    if name:
        profile = load_profile(name, [shipped("providers.yaml")]).priced(0.10)
    return replace(profile, reconcile_after_seconds=0.3)
