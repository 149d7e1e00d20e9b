from __future__ import annotations

from redis import Redis

from spritz_cli.models import Obstacle
from spritz_cli.storage.upgrades import Owed, Upgrades

OWED = Owed("paid", Obstacle("provider_error", "the provider is down", 1_795_000_000.0))


def test_what_is_owed_is_remembered_until_it_is_made(any_redis: Redis) -> None:
    upgrades = Upgrades(any_redis)
    assert upgrades.get("key") is None
    upgrades.remember("key", OWED)
    assert upgrades.get("key") == OWED
    assert upgrades.get("other") is None
    upgrades.forget("key")
    assert upgrades.get("key") is None


def test_it_does_not_stay_for_ever(any_redis: Redis) -> None:
    Upgrades(any_redis).remember("key", OWED)
    assert 0 < any_redis.ttl("video:owed") <= 60 * 86_400


def test_a_damaged_note_costs_one_more_try(any_redis: Redis) -> None:
    any_redis.hset("video:owed", "key", '{"paid": 1')
    assert Upgrades(any_redis).get("key") is None
