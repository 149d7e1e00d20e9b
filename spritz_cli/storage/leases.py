"""Leases: the exclusive right to work on one template.

A lease is a Redis hash that expires unless its owner renews it. Its fence number
grows with every acquisition, even if the server loses its data, so that
`VideoManifest` can refuse the writes of a former owner.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from spritz_cli.errors import InfrastructureError, LeaseLost, RedisUnavailable
from spritz_cli.retries import AFTER_A_KILL, Retries
from spritz_cli.storage.process_id import is_dead, pid_of, process_id
from spritz_cli.storage.redis.errors import redis_errors
from spritz_cli.storage.redis.scripts import NOW_MILLIS, milliseconds

if TYPE_CHECKING:
    from redis import Redis

#: Seconds between two writes of progress, at least.
REPORT_INTERVAL = 0.2

_log = logging.getLogger(__name__)

# Takes a lease that is free or held by the given dead owner. An owner that asks again
# has lost the first answer with its connection, and gets the same fence.
_ACQUIRE = """
local holder = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if holder[1] == ARGV[1] then return holder[2] end
if holder[1] and not (holder[1] == ARGV[4] and holder[2] == ARGV[5]) then return false end
local fence = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, millis)
local text = string.format('%.0f', fence)
redis.call('SET', KEYS[2], text)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', text, 'since', ARGV[3],
           'progress', '0', 'stage', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return text
"""

_RENEW = """
local holder = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if holder[1] ~= ARGV[1] or holder[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[4], 'stage', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

_RELEASE = """
local holder = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if holder[1] ~= ARGV[1] or holder[2] ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class LeaseInfo(NamedTuple):
    """The holder of a lease; progress 0 to 1, `since` in ISO 8601, `dead` if its process died."""

    owner: str
    fence: int
    pid: int
    progress: float
    stage: str
    since: str
    dead: bool


class Leases:
    """Hands out leases. A Lease renews itself within `ttl_seconds`."""

    def __init__(
        self,
        redis: Redis,
        prefix: str = "video:",
        ttl_seconds: float = 30,
        *,
        thread_retries: Retries = AFTER_A_KILL,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self.ttl_seconds = ttl_seconds
        self.thread_retries = thread_retries
        self._take = redis.register_script(NOW_MILLIS + _ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._drop = redis.register_script(_RELEASE)

    def acquire(self, key: str) -> Lease | None:
        """Return the lease, or None while a process holds it that is alive or on another host."""
        lease = self._try(key)
        if lease:
            return lease
        holder = self.holder(key)
        if holder is None:
            return self._try(key)
        return self._try(key, instead_of=holder) if holder.dead else None

    def holder(self, key: str) -> LeaseInfo | None:
        """Return the holder of the lease, None if it is free."""
        return self.holders([key])[0]

    def holders(self, keys: Iterable[str]) -> list[LeaseInfo | None]:
        """Return the holder of each key, in one round trip."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(self.redis_key(key))
            return [_info(stored) for stored in pipeline.execute()]

    def release_dead(self, keys: Iterable[str]) -> list[str]:
        """Free the leases of dead processes and return their keys."""
        wanted = list(keys)
        held = zip(wanted, self.holders(wanted), strict=True)
        dead = [(key, info) for key, info in held if info and info.dead]
        return [key for key, info in dead if self.drop(key, info.owner, info.fence)]

    def redis_key(self, key: str) -> str:
        """Return the name of the Redis hash, for scripts that check a lease."""
        return f"{self._prefix}lease:{key}"

    def renew(self, key: str, owner: str, fence: int, progress: float, stage: str) -> bool:
        """Extend a lease and record its progress; False if the lease is lost."""
        arguments = (owner, fence, milliseconds(self.ttl_seconds), f"{progress:.4f}", stage)
        with redis_errors():
            return bool(self._renew(keys=[self.redis_key(key)], args=arguments))

    def drop(self, key: str, owner: str, fence: int) -> bool:
        """Free a lease if this owner still holds it under this fence."""
        with redis_errors():
            return bool(self._drop(keys=[self.redis_key(key)], args=[owner, fence]))

    def _try(self, key: str, instead_of: LeaseInfo | None = None) -> Lease | None:
        owner = f"{process_id()}:{uuid.uuid4().hex[:8]}"
        since = datetime.now(UTC).isoformat(timespec="seconds")
        rival = (instead_of.owner, instead_of.fence) if instead_of else ("", 0)
        with redis_errors():
            fence = self._take(
                keys=[self.redis_key(key), f"{self._prefix}fence"],
                args=[owner, milliseconds(self.ttl_seconds), since, *rival],
            )
        return Lease(self, key, owner, int(fence)) if fence else None


class Lease:
    """A held lease. A daemon thread renews it until `release`.

    It belongs to the process that acquired it: in a forked child it does nothing.
    """

    def __init__(self, leases: Leases, key: str, owner: str, fence: int) -> None:
        self.key = key
        self.owner = owner
        self.fence = fence
        self._leases = leases
        self._pid = os.getpid()
        self._progress = (0.0, "")
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._keep, name=f"lease {key}", daemon=True)
        self._start()

    def _start(self) -> None:
        try:
            self._leases.thread_retries.call(self._thread.start, RuntimeError)
        except RuntimeError as exc:
            self._leases.drop(self.key, self.owner, self.fence)
            raise InfrastructureError(
                f"no thread can be started to renew the lease of {self.key}: {exc}",
                hint="Give vidgen more memory and threads, or try fewer --workers.",
            ) from exc

    @property
    def redis_key(self) -> str:
        return self._leases.redis_key(self.key)

    @property
    def lost(self) -> bool:
        """True once the server has reported that the lease expired or was taken over."""
        return self._lost

    def report(self, progress: float, stage: str) -> None:
        """Set the progress; the thread writes it to Redis. Cheap, never raises."""
        if (progress, stage) != self._progress:
            self._progress = (progress, stage)
            self._changed.set()

    def check(self) -> None:
        """Renew the lease; raise LeaseLost if another process may hold it."""
        self._renew()
        if self._lost:
            raise self.lost_error()

    def lost_error(self) -> LeaseLost:
        """Return the error for the loss of this lease."""
        return LeaseLost(
            f"the lease on {self.key} expired or was taken over while its film was made",
            hint="Nothing was published. Run the same command again.",
        )

    def release(self) -> None:
        """Free the lease if it is still held. Without the server it expires by itself."""
        if self._ended.is_set() or os.getpid() != self._pid:
            return
        self._ended.set()
        self._changed.set()
        try:
            self._leases.drop(self.key, self.owner, self.fence)
        except RedisUnavailable as exc:
            _log.warning("lease %s will expire by itself: %s", self.key, exc)
        self._thread.join(timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _keep(self) -> None:
        pause = self._leases.ttl_seconds / 3
        while not self._lost:
            self._changed.wait(timeout=pause)
            if self._ended.is_set():
                return
            self._changed.clear()
            self._renew_quietly()
            if self._ended.wait(min(REPORT_INTERVAL, pause)):
                return

    def _renew_quietly(self) -> None:
        # A short outage does not end the lease: the server decides when it is back.
        try:
            self._renew()
        except RedisUnavailable as exc:
            _log.warning("lease %s could not be renewed: %s", self.key, exc)

    def _renew(self) -> None:
        if not self._leases.renew(self.key, self.owner, self.fence, *self._progress):
            self._lost = not self._ended.is_set()


def _info(stored: Mapping[str, str]) -> LeaseInfo | None:
    if not stored:
        return None
    owner = stored["owner"]
    process = owner.rpartition(":")[0]
    return LeaseInfo(
        owner=owner,
        fence=int(stored["fence"]),
        pid=pid_of(process),
        progress=float(stored["progress"]),
        stage=stored["stage"],
        since=stored["since"],
        dead=is_dead(process),
    )
