"""Why a template has no generated footage yet, and when to ask the provider again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spritz_cli.models import Obstacle
from spritz_cli.storage.redis.errors import redis_errors

if TYPE_CHECKING:
    from redis import Redis

#: Long enough for a template that is not asked for every day.
LIFETIME_SECONDS = 60 * 86_400


class Owed(NamedTuple):
    """An upgrade that is owed: the digest of its footage, and why it waits."""

    paid_fingerprint: str
    obstacle: Obstacle


class Upgrades:
    """Remembers the upgrades that are owed; losing it costs one more try each."""

    def __init__(self, redis: Redis, prefix: str = "video:") -> None:
        self._redis = redis
        self._name = f"{prefix}owed"

    def get(self, key: str) -> Owed | None:
        """Return what is owed to the template with this manifest key."""
        return self.many([key])[0]

    def many(self, keys: Sequence[str]) -> list[Owed | None]:
        """Return what is owed to each of these templates, in one round trip."""
        if not keys:
            return []
        with redis_errors():
            found = self._redis.hmget(self._name, keys)
        return [_owed(str(stored)) if stored else None for stored in found]

    def remember(self, key: str, owed: Owed) -> None:
        """Note that an upgrade did not happen."""
        with redis_errors():
            self._redis.hset(self._name, key, _stored(owed))
            self._redis.expire(self._name, LIFETIME_SECONDS)

    def forget(self, key: str) -> None:
        """Note that an upgrade happened, or is to be tried as if for the first time."""
        with redis_errors():
            self._redis.hdel(self._name, key)


def _stored(owed: Owed) -> str:
    reason, message, until = owed.obstacle
    return json.dumps(
        {
            "paid": owed.paid_fingerprint,
            "reason": reason,
            "error": message,
            "retry_at": until,
        }
    )


def _owed(text: str) -> Owed | None:
    try:
        stored = json.loads(text)
        obstacle = Obstacle(stored["reason"], stored["error"], float(stored["retry_at"]))
        return Owed(stored["paid"], obstacle)
    except (ValueError, TypeError, KeyError):
        return None
