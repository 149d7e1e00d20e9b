"""What all processes know together about a provider of footage.

Everything here ends by itself: every key expires by the server's clock, so that
a killed process blocks nobody for long, and nothing is lost that cannot be found
out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from spritz_cli.storage.redis.errors import redis_errors
from spritz_cli.storage.redis.scripts import NOW_MILLIS, milliseconds

#: How long a slot lasts unless its owner renews it, in seconds.
SLOT_SECONDS = 60.0

#: How long the one at the gate may take for its request, in seconds.
GATE_SECONDS = 90.0

#: For how long one good answer vouches for the provider, in seconds.
PROOF_SECONDS = 600.0

# Of two reasons to leave a provider alone, the one that lasts longer stands.
_OPEN = """
if redis.call('PTTL', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'reason', ARGV[2], 'message', ARGV[3],
           'since', string.format('%.0f', millis))
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""

_HOLD = """
local function hold()
  redis.call('ZADD', KEYS[1], string.format('%.0f', millis + ARGV[2]), ARGV[1])
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return 1
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', millis))
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return hold() end
"""

_IF_FREE = """
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
return hold()
"""

_ENTER = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local inside = redis.call('GET', KEYS[1])
if inside and inside ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if ARGV[2] == '1' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
return 1
"""


@dataclass(frozen=True)
class Opened:
    """Why a provider is left alone, `since` when (ISO 8601), and for how long yet."""

    reason: str
    message: str
    since: str
    seconds_left: float = 0.0


class Circuit:
    """Open while a provider must not be asked: no credit left, a wrong key, too many requests."""

    def __init__(self, redis: Redis, prefix: str, provider: str) -> None:
        self._redis = redis
        self._key = _key(prefix, provider, "circuit")
        self._open = redis.register_script(NOW_MILLIS + _OPEN)

    def open(self, reason: str, message: str, seconds: float) -> None:
        """Leave the provider alone for `seconds`, unless it is for longer already."""
        with redis_errors():
            self._open(keys=[self._key], args=[milliseconds(seconds), reason, message])

    def state(self) -> Opened | None:
        """Return why the provider is left alone now, None if it may be asked."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hgetall(self._key)
            pipeline.pttl(self._key)
            stored, millis = pipeline.execute()
        return _opened(stored, millis) if stored else None

    def close(self) -> None:
        """Allow requests again, e.g. because the user has mended something."""
        with redis_errors():
            self._redis.delete(self._key)


class Slots:
    """At most `limit` jobs at a time; the owner of each must renew it within `seconds`."""

    def __init__(
        self, redis: Redis, prefix: str, provider: str, limit: int, *, seconds: float = SLOT_SECONDS
    ) -> None:
        if limit < 1:
            raise ValueError(f"{provider}: a limit of {limit} jobs would never let any run")
        self._redis = redis
        self._key = _key(prefix, provider, "slots")
        self._limit = limit
        self._seconds = seconds
        self._take = redis.register_script(NOW_MILLIS + _HOLD + _IF_FREE)
        self._extend = redis.register_script(NOW_MILLIS + _HOLD + "return 0")

    def acquire(self, owner: str) -> bool:
        """Take a slot, or keep the one that `owner` has; False while none is free."""
        arguments = (owner, milliseconds(self._seconds), self._limit)
        with redis_errors():
            return bool(self._take(keys=[self._key], args=arguments))

    def renew(self, owner: str) -> bool:
        """Keep a slot for longer; False if it has expired, and may be another's by now."""
        with redis_errors():
            return bool(self._extend(keys=[self._key], args=[owner, milliseconds(self._seconds)]))

    def release(self, owner: str) -> None:
        """Free the slot of `owner`, if it has one."""
        with redis_errors():
            self._redis.zrem(self._key, owner)


class Gate:
    """One request at a time until the provider has answered one well.

    A provider that is dead then costs one request, not one per worker. A good
    answer opens the gate for everybody for ten minutes, each further one again.
    """

    def __init__(
        self, redis: Redis, prefix: str, provider: str, *, seconds: float = GATE_SECONDS
    ) -> None:
        self._keys = [_key(prefix, provider, "gate"), _key(prefix, provider, "proof")]
        self._seconds = seconds
        self._enter = redis.register_script(_ENTER)
        self._leave = redis.register_script(_LEAVE)

    def enter(self, owner: str) -> bool:
        """Whether `owner` may send its request now; it must `leave` afterwards."""
        with redis_errors():
            return bool(self._enter(keys=self._keys, args=[owner, milliseconds(self._seconds)]))

    def leave(self, owner: str, proven: bool) -> None:
        """Let the next one in, or everybody if the provider is `proven` to answer well."""
        arguments = (owner, int(proven), milliseconds(PROOF_SECONDS))
        with redis_errors():
            self._leave(keys=self._keys, args=arguments)


def _key(prefix: str, provider: str, what: str) -> str:
    return f"{prefix}provider:{provider}:{what}"


def _opened(stored: Mapping[str, str], millis: int) -> Opened:
    since = datetime.fromtimestamp(int(stored["since"]) / 1000, UTC)
    return Opened(
        reason=stored["reason"],
        message=stored["message"],
        since=since.isoformat(timespec="seconds"),
        seconds_left=max(0.0, millis / 1000),
    )
