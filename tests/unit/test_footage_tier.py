from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.errors import RenderError
from spritz_cli.media.montage import Clip
from spritz_cli.models import Template
from spritz_cli.storage.files.disk import measure
from spritz_cli.storage.footage import FootageStore, Order
from spritz_cli.storage.upgrades import Upgrades
from spritz_cli.testing import fake_redis, sample_order, sample_template
from spritz_cli.tiers.base import Offer
from spritz_cli.tiers.compositing import FRAME, clip_of
from spritz_cli.tiers.footage import FootageTier
from tests.scenes import shipped_scenes

TEMPLATE = sample_template()


@pytest.fixture
def footage(tmp_path: Path) -> FootageStore:
    return FootageStore(tmp_path / "videos")


@pytest.fixture
def tier(footage: FootageStore) -> FootageTier:
    """The tier of a user without a provider."""
    return FootageTier(shipped_scenes(), footage, Upgrades(fake_redis()))


def keep(footage: FootageStore, tmp_path: Path, template: Template = TEMPLATE) -> None:
    segment = tmp_path / "segment.mp4"
    segment.write_bytes(b"not a film")
    order = sample_order(template)
    footage.record(order._replace(**footage.adopt(order, segment)))


def undecodable(tmp_path: Path, **changes: Any) -> tuple[Order, Path]:
    """Return an undecodable segment, and its order with the result of an earlier decoding."""
    path = tmp_path / "segment.mp4"
    path.write_bytes(b"not a film")
    known = {"frames": 96, "fps": FRAME.fps, "matrix": "bt709", **measure(path), **changes}
    return sample_order(TEMPLATE, **known), path


def ignore_progress(share: float, stage: str = "") -> None:
    pass


def test_without_provider_and_footage_there_is_nothing_to_make_a_film_from(
    tier: FootageTier,
) -> None:
    assert tier.inputs(TEMPLATE) is None
    assert tier.offer(TEMPLATE) == Offer()


def test_footage_in_hand_makes_films_of_new_words_for_nothing(
    tier: FootageTier, footage: FootageStore, tmp_path: Path
) -> None:
    keep(footage, tmp_path)
    before, after = (tier.inputs(replace(TEMPLATE, title=title)) for title in ("Old", "New"))

    assert before is not None
    assert after is not None
    assert before["footage"] == after["footage"]
    assert before["template"] != after["template"]
    assert tier.offer(TEMPLATE) == Offer()


def test_footage_that_cannot_be_drawn_over_is_left_alone_for_a_day(
    tier: FootageTier, footage: FootageStore, tmp_path: Path
) -> None:
    keep(footage, tmp_path)
    with pytest.raises(RenderError):
        tier.make(TEMPLATE, tmp_path, ignore_progress, "capped")
    obstacle = tier.offer(TEMPLATE).obstacle

    assert obstacle is not None
    assert obstacle.reason == "render_error"
    assert obstacle.until > time.time() + 86_000


def test_a_segment_that_was_decoded_on_delivery_is_not_decoded_again(tmp_path: Path) -> None:
    order, path = undecodable(tmp_path)
    assert clip_of(order, path) == Clip(path, 96, "bt709")


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"fps": 24}, {"frames": None}])
def test_a_segment_is_decoded_unless_all_about_it_is_known(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    order, path = undecodable(tmp_path, **changes)
    with pytest.raises(RenderError, match="does not play"):
        clip_of(order, path)
