"""The state of a provider that all processes share: circuit, slots and gate.

Every key expires by the server's clock, so a killed process does not block the
others for long. Losing the state costs a few requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from spritz_cli.storage.redis.errors import redis_errors
from spritz_cli.storage.redis.scripts import NOW_MILLIS, milliseconds

#: Seconds after which a slot expires unless its owner renews it.
SLOT_SECONDS = 60.0

#: Seconds that a request may hold the gate.
GATE_SECONDS = 90.0

#: Seconds for which a good answer keeps the gate open.
PROOF_SECONDS = 600.0

# Of two reasons to open the circuit, the one that lasts longer is kept.
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
    """Why the circuit is open, `since` when (ISO 8601), and for how many more seconds."""

    reason: str
    message: str
    since: str
    seconds_left: float = 0.0


class Circuit:
    """Open while requests to a provider make no sense: no credit, a wrong key, unreachable."""

    def __init__(self, redis: Redis, prefix: str, provider: str) -> None:
        self._redis = redis
        self._key = _key(prefix, provider, "circuit")
        self._open = redis.register_script(NOW_MILLIS + _OPEN)

    def open(self, reason: str, message: str, seconds: float) -> None:
        """Stop requests for `seconds`, unless they are stopped for longer already."""
        with redis_errors():
            self._open(keys=[self._key], args=[milliseconds(seconds), reason, message])

    def state(self) -> Opened | None:
        """Return why requests are stopped, None if they are allowed."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hgetall(self._key)
            pipeline.pttl(self._key)
            stored, millis = pipeline.execute()
        return _opened(stored, millis) if stored else None

    def close(self) -> None:
        """Allow requests again, for example because the user has corrected the key."""
        with redis_errors():
            self._redis.delete(self._key)


class Slots:
    """At most `limit` jobs at a time. Owners must renew their slots within `seconds`."""

    def __init__(
        self, redis: Redis, prefix: str, provider: str, limit: int, *, seconds: float = SLOT_SECONDS
    ) -> None:
        if limit < 1:
            raise ValueError(f"{provider}: with a limit of {limit} jobs none could run")
        self._redis = redis
        self._key = _key(prefix, provider, "slots")
        self._limit = limit
        self._seconds = seconds
        self._take = redis.register_script(NOW_MILLIS + _HOLD + _IF_FREE)
        self._extend = redis.register_script(NOW_MILLIS + _HOLD + "return 0")

    def acquire(self, owner: str) -> bool:
        """Take a slot, or renew the one of `owner`; False while none is free."""
        arguments = (owner, milliseconds(self._seconds), self._limit)
        with redis_errors():
            return bool(self._take(keys=[self._key], args=arguments))

    def renew(self, owner: str) -> bool:
        """Renew a slot; False if it has expired and may belong to another owner."""
        with redis_errors():
            return bool(self._extend(keys=[self._key], args=[owner, milliseconds(self._seconds)]))

    def release(self, owner: str) -> None:
        """Free the slot of `owner`, if it has one."""
        with redis_errors():
            self._redis.zrem(self._key, owner)


class Gate:
    """One request at a time until the provider has given a good answer.

    A dead provider then costs one request, not one per worker. Every good answer
    opens the gate to all for another ten minutes.
    """

    def __init__(
        self, redis: Redis, prefix: str, provider: str, *, seconds: float = GATE_SECONDS
    ) -> None:
        self._keys = [_key(prefix, provider, "gate"), _key(prefix, provider, "proof")]
        self._seconds = seconds
        self._enter = redis.register_script(_ENTER)
        self._leave = redis.register_script(_LEAVE)

    def enter(self, owner: str) -> bool:
        """Return whether `owner` may send its request now. It must `leave` afterwards."""
        with redis_errors():
            return bool(self._enter(keys=self._keys, args=[owner, milliseconds(self._seconds)]))

    def leave(self, owner: str, proven: bool) -> None:
        """Let the next request in, or all if the provider is `proven` to answer."""
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
