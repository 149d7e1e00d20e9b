"""Why a template has no generated footage yet, and when to ask the provider again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spritz_cli.models import Obstacle
from spritz_cli.storage.redis.errors import redis_errors

if TYPE_CHECKING:
    from redis import Redis

#: Outlives the pauses between runs of a template that is made rarely.
LIFETIME_SECONDS = 60 * 86_400


class Owed(NamedTuple):
    """An upgrade that is owed: the digest of its footage, and why it waits."""

    paid_fingerprint: str
    obstacle: Obstacle


class Upgrades:
    """Remembers the upgrades that are owed; losing the record costs one more attempt each."""

    def __init__(self, redis: Redis, prefix: str = "video:") -> None:
        self._redis = redis
        self._name = f"{prefix}owed"

    def get(self, key: str) -> Owed | None:
        """Return the upgrade that is owed to the template with this manifest key."""
        return self.many([key])[0]

    def many(self, keys: Sequence[str]) -> list[Owed | None]:
        """Return the upgrade that is owed to each template, in one round trip."""
        if not keys:
            return []
        with redis_errors():
            records = self._redis.hmget(self._name, keys)
        return [_owed(str(stored)) if stored else None for stored in records]

    def remember(self, key: str, owed: Owed) -> None:
        """Record that an upgrade did not happen."""
        with redis_errors():
            self._redis.hset(self._name, key, _stored(owed))
            self._redis.expire(self._name, LIFETIME_SECONDS)

    def forget(self, key: str) -> None:
        """Remove the record: the upgrade happened, or starts afresh."""
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
