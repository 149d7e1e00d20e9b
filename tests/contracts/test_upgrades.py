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


def test_it_is_stored_as_by_the_first_version(any_redis: Redis) -> None:
    stored = (
        '{"paid": "paid", "reason": "provider_error", '
        '"error": "the provider is down", "retry_at": 1795000000.0}'
    )
    any_redis.hset("video:owed", "key", stored)
    assert Upgrades(any_redis).get("key") == OWED
    Upgrades(any_redis).remember("other", OWED)
    assert any_redis.hget("video:owed", "other") == stored


def test_it_does_not_stay_for_ever(any_redis: Redis) -> None:
    Upgrades(any_redis).remember("key", OWED)
    assert 0 < any_redis.ttl("video:owed") <= 60 * 86_400


def test_a_damaged_note_costs_one_more_try(any_redis: Redis) -> None:
    for damaged in ('{"paid": 1', "{}", '{"paid": "a"}', "[]"):
        any_redis.hset("video:owed", "key", damaged)
        assert Upgrades(any_redis).get("key") is None
