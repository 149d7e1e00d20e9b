"""The manifest that the main application reads: one Redis hash per template.

Every write is one script. Readers see either the old entry or the new one, and a
writer that has lost its lease cannot change anything.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, get_args

from spritz_cli.errors import InfrastructureError, UnknownTemplate
from spritz_cli.models import MANIFEST_SCHEMA, Status, Template, Video, manifest_key
from spritz_cli.storage.leases import Lease, Leases
from spritz_cli.storage.redis.connection import connect
from spritz_cli.storage.redis.errors import is_wrong_type, redis_errors
from spritz_cli.storage.redis.scripts import milliseconds

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

#: Seconds until an entry with status "processing" expires.
PROCESSING_SECONDS = 600.0

#: Share of the time to live by which expiries differ, so that a catalog does not expire at once.
JITTER = 0.1

_log = logging.getLogger(__name__)

_READ = """
local entry = redis.call('HGETALL', KEYS[1])
local hit = redis.call('HGET', KEYS[1], 'status') == 'ready'
redis.call('HINCRBY', KEYS[2], hit and 'hits' or 'misses', 1)
if hit then redis.call('HSET', KEYS[1], 'last_accessed_at', ARGV[1]) end
return entry
"""

# Starts every write: returns -1 unless the caller holds the lease.
_IF_OURS = """
local holder = redis.call('HMGET', KEYS[2], 'owner', 'fence')
if holder[1] ~= ARGV[1] or holder[2] ~= ARGV[2] then return -1 end
"""

_REPLACE = """
local accessed = redis.call('HGET', KEYS[1], 'last_accessed_at')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if accessed then redis.call('HSET', KEYS[1], 'last_accessed_at', accessed) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

_UNLESS_READY = """
if redis.call('HGET', KEYS[1], 'status') == 'ready' then return 0 end
"""

_RENEW = """
if redis.call('HGET', KEYS[1], 'sha256') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_WITHDRAW = """
if redis.call('HGET', KEYS[1], 'sha256') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

_UNANNOUNCE = """
if redis.call('HGET', KEYS[1], 'status') ~= 'processing' then return 0 end
return redis.call('DEL', KEYS[1])
"""

_ABANDON = """
if redis.call('HGET', KEYS[1], 'status') ~= 'processing' then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Keyed(Protocol):
    """Anything with a manifest key: a template or a video."""

    @property
    def key(self) -> str: ...


class VideoManifest:
    """Reads and writes entries `<prefix><key>` that expire after `ttl_days` ± 10 %."""

    def __init__(self, redis: Redis, prefix: str = "video:", ttl_days: float = 30.0) -> None:
        self._redis = redis
        self._prefix = prefix
        self.ttl_seconds = ttl_days * 86_400
        self._read = redis.register_script(_READ)
        self._publish = redis.register_script(_IF_OURS + _REPLACE)
        self._mark = redis.register_script(_IF_OURS + _UNLESS_READY + _REPLACE)
        self._extend = redis.register_script(_RENEW)
        self._remove = redis.register_script(_WITHDRAW)
        self._unannounce = redis.register_script(_IF_OURS + _UNANNOUNCE)
        self._drop_abandoned = redis.register_script(_ABANDON)

    @classmethod
    def from_url(cls, url: str, prefix: str = "video:", ttl_days: float = 30.0) -> VideoManifest:
        """Return the manifest on the server at `url`. It connects with the first request.

        If the server hangs, each request raises RedisUnavailable after a few seconds.
        """
        return cls(connect(url, "short"), prefix, ttl_days)

    def get(self, persona: str, topic: str) -> Video | None:
        """Return the entry for a reader. Counts a hit or a miss and records the access."""
        keys = [self._key(manifest_key(persona, topic)), self._counters]
        with redis_errors():
            flat: list[str] = self._read(keys=keys, args=[_now()])
        return _video(keys[0], dict(zip(flat[::2], flat[1::2], strict=True)))

    def peek(self, persona: str, topic: str) -> Video | None:
        """Return the entry without any side effect."""
        return self.peek_many([_Key(manifest_key(persona, topic))])[0]

    def peek_many(self, templates: Iterable[Keyed]) -> list[Video | None]:
        """Return the entry of each template, in one round trip.

        Raises InfrastructureError if an entry has an unknown schema or another type.
        """
        return [_video(*stored) for stored in self._stored(templates)]

    def time_left(self, templates: Iterable[Keyed]) -> list[float | None]:
        """Return the seconds until each entry expires, None if it is missing, in one round trip."""
        answers = self._ask(templates, "pttl")
        return [millis / 1000 if millis >= 0 else None for millis in answers]

    def look_up(self, persona: str, topic: str) -> Video | None:
        """Return the entry like `peek`, for callers without a catalog.

        Raises UnknownTemplate for templates that were not announced last.
        """
        name = self._key(manifest_key(persona, topic))
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hgetall(name)
            pipeline.exists(self._templates)
            pipeline.sismember(self._templates, f"{persona}/{topic}")
            stored, announced, known = _answers(pipeline)
            if announced and known == 0:
                raise UnknownTemplate.among(persona, topic, self._announced())
        return _video(name, stored)

    def announce(self, templates: Iterable[Template]) -> None:
        """Replace the names that `look_up` knows by those of the whole catalog."""
        names = [template.name for template in templates]
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.delete(self._templates)
            pipeline.sadd(self._templates, *names)
            pipeline.execute()

    def entries(self) -> Iterator[Video]:
        """Yield every entry, even of templates that the catalog no longer has.

        Skips entries of an unknown schema or another type, with a warning.
        """
        with redis_errors():
            names = sorted(self._redis.scan_iter(match=f"{self._prefix}*", count=500))
        keys = [_Key(match[1]) for match in map(self._entry_pattern.fullmatch, names) if match]
        for name, stored in self._stored(keys):
            try:
                video = _video(name, stored)
            except InfrastructureError as exc:
                _log.warning("%s; it is skipped", exc.message)
                continue
            if video is not None:
                yield video

    def publish(self, video: Video, lease: Lease) -> None:
        """Replace the whole entry atomically; LeaseLost if `lease` is lost."""
        self._write(self._publish, video, lease, self._lifetime())

    def renew(self, video: Video) -> bool:
        """Give the entry a new expiry if it still shows this film."""
        with redis_errors():
            done = self._extend(
                keys=[self._key(video.key)],
                args=[video.sha256 or "", milliseconds(self._lifetime())],
            )
        return bool(done)

    def withdraw(self, video: Video) -> bool:
        """Remove the entry if it still shows this film, before its files are deleted."""
        with redis_errors():
            return bool(self._remove(keys=[self._key(video.key)], args=[video.sha256 or ""]))

    def withdraw_processing(self, template: Template, lease: Lease) -> bool:
        """Remove an entry with status "processing"; False if it has another status."""
        with redis_errors():
            done = self._unannounce(
                keys=[self._key(template.key), lease.redis_key], args=[lease.owner, lease.fence]
            )
        if done < 0:
            raise lease.lost_error()
        return bool(done)

    def withdraw_abandoned(self, keys: Iterable[str], leases: Leases) -> None:
        """Remove entries with status "processing" whose lease nobody holds any more."""
        with redis_errors():
            for key in keys:
                self._drop_abandoned(keys=[self._key(key), leases.redis_key(key)])

    def mark_processing(self, template: Template, lease: Lease) -> bool:
        """Set the status "processing"; False, without a change, if a film is published."""
        return self._write(self._mark, _card(template, "processing"), lease, PROCESSING_SECONDS)

    def mark_failed(self, template: Template, lease: Lease, error: str, reason: str) -> bool:
        """Publish only the text card; False, without a change, if a film is published."""
        entry = replace(
            _card(template, "failed"),
            created_at=_now(),
            fallback_used="text",
            fallback_reason=reason,
            error=error,
        )
        return self._write(self._mark, entry, lease, self._lifetime())

    def stats(self) -> dict[str, Any]:
        """Return hits, misses, the hit rate (None before the first read) and entries by status."""
        with redis_errors():
            counted = self._redis.hgetall(self._counters)
        hits, misses = int(counted.get("hits", 0)), int(counted.get("misses", 0))
        by_status = dict.fromkeys(get_args(Status), 0)
        for video in self.entries():
            by_status[video.status] = by_status.get(video.status, 0) + 1
        rate = hits / (hits + misses) if hits + misses else None
        return {"hits": hits, "misses": misses, "hit_rate": rate, "entries": by_status}

    def _write(
        self, script: Callable[..., Any], video: Video, lease: Lease, seconds: float
    ) -> bool:
        if lease.key != video.key:
            raise ValueError(f"the lease on {lease.key} does not cover {video.name}")
        pairs = [text for pair in video.to_fields().items() for text in pair]
        with redis_errors():
            done = script(
                keys=[self._key(video.key), lease.redis_key],
                args=[lease.owner, lease.fence, milliseconds(seconds), *pairs],
            )
        if done < 0:
            raise lease.lost_error()
        return bool(done)

    def _stored(self, items: Iterable[Keyed]) -> Iterator[tuple[str, Any]]:
        items = list(items)
        names = [self._key(item.key) for item in items]
        return zip(names, self._ask(items, "hgetall"), strict=True)

    def _ask(self, items: Iterable[Keyed], command: str) -> Sequence[Any]:
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for item in items:
                getattr(pipeline, command)(self._key(item.key))
            return _answers(pipeline)

    def _announced(self) -> list[tuple[str, str]]:
        names = sorted(map(str, self._redis.smembers(self._templates)))
        return [(persona, topic) for persona, _, topic in (name.partition("/") for name in names)]

    def _key(self, key: str) -> str:
        return f"{self._prefix}{key}"

    @property
    def _counters(self) -> str:
        return f"{self._prefix}stats"

    @property
    def _templates(self) -> str:
        return f"{self._prefix}templates"

    @property
    def _entry_pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self._prefix) + r"([0-9a-f]{16})")

    def _lifetime(self) -> float:
        return self.ttl_seconds * random.uniform(1 - JITTER, 1 + JITTER)


class _Key:
    def __init__(self, key: str) -> None:
        self.key = key


def _card(template: Template, status: Status) -> Video:
    card = template.card
    return Video(
        persona=template.persona,
        topic=template.topic,
        status=status,
        text_headline=card.headline,
        text_body=card.body,
        text_action=card.action,
        alt=template.alt,
    )


def _video(name: str, stored: Mapping[str, str] | Exception) -> Video | None:
    if isinstance(stored, Exception):
        raise InfrastructureError(
            f"{name} in Redis is not a manifest entry",
            hint="Delete that key if nobody needs it, or point REDIS_URL to another server.",
        )
    if not stored:
        return None
    _require_known_schema(name, stored)
    try:
        return Video.from_fields(stored)
    except (TypeError, ValueError):
        # An entry without its mandatory fields counts as missing: the film is made again.
        _log.warning("%s in Redis is damaged and is ignored", name)
        return None


def _answers(pipeline: Pipeline) -> list[Any]:
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in answers:
        # A key that holds something else must not hide all the others.
        if isinstance(answer, Exception) and not is_wrong_type(answer):
            raise answer
    return answers


def _require_known_schema(name: str, stored: Mapping[str, str]) -> None:
    schema = stored.get("schema", MANIFEST_SCHEMA)
    if schema.split(".")[0] != MANIFEST_SCHEMA:
        raise InfrastructureError(
            f"{name} in Redis was written in schema {schema[:20]}, "
            f"this version reads schema {MANIFEST_SCHEMA}",
            hint="Upgrade vidgen here, or point REDIS_URL to another server.",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
