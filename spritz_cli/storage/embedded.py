"""The Redis connection: to the server of REDIS_URL, or to an embedded one of our own."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any, Self

from redis import ConnectionPool, Redis, RedisError, UnixDomainSocketConnection
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from spritz_cli.errors import RedisUnavailable, UsageError
from spritz_cli.settings import Settings
from spritz_cli.storage.server import EmbeddedServer

#: Seconds to wait for a server that does not answer at all.
CONNECT_TIMEOUT = 5.0


class OpenRedis:
    """A client and where it is connected to; closing it may stop the embedded server."""

    def __init__(self, client: Redis, url: str, server: EmbeddedServer | None = None) -> None:
        self.client = client
        self.url = url
        self.embedded = server is not None
        self._server = server

    def close(self) -> None:
        """Disconnect; whoever was the last client of the embedded server stops it."""
        self.client.close()
        if self._server:
            self._server.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_redis(settings: Settings, *, patient: bool = False) -> OpenRedis:
    """Connect to the server of `settings.redis_url`; without one, to the embedded server.

    A server that is named but cannot be reached is an error, never a reason to
    use another one. A `patient` client outlasts a restart of the server.
    """
    if settings.redis_url:
        _require_answer(settings.redis_url)
        return OpenRedis(connect(settings.redis_url, patient=patient), settings.redis_url)
    server = EmbeddedServer(settings.state_dir / "redis")
    server.join()
    pool = ConnectionPool.from_url(
        server.url,
        connection_class=_RevivingConnection,
        server=server,
        decode_responses=True,
        retry=_retry(patient),
    )
    return OpenRedis(Redis.from_pool(pool), server.url, server)


def connect(url: str, *, patient: bool = False, decode_responses: bool = True) -> Redis:
    """Return a client that connects when it is first used. RQ needs `decode_responses=False`."""
    try:
        return Redis.from_url(
            url,
            decode_responses=decode_responses,
            retry=_retry(patient),
            socket_connect_timeout=CONNECT_TIMEOUT,
        )
    except ValueError:
        # `from None`: the message of urllib may quote a part of the password.
        raise UsageError(
            f"REDIS_URL is not the address of a Redis server: {printable(url)}",
            hint="Use redis://HOST:PORT/0, rediss://… for TLS, or unix:///PATH.",
        ) from None


def printable(url: str) -> str:
    """Return the url without its password, also if it is malformed."""
    hidden = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url)
    hidden = re.sub(r"://:[^@*]+$", "://:***", hidden)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


class _RevivingConnection(UnixDomainSocketConnection):
    """Starts the embedded server again if it died while we were its client."""

    def __init__(self, *, server: EmbeddedServer, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._server = server

    def _connect(self) -> Any:
        try:
            return super()._connect()  # type: ignore[no-untyped-call]
        except OSError:
            self._server.revive()
            return super()._connect()  # type: ignore[no-untyped-call]


def _retry(patient: bool) -> Retry:
    return Retry(ExponentialBackoff(cap=1, base=0.05), 90 if patient else 3)


def _require_answer(url: str) -> None:
    with closing(connect(url)) as client:
        try:
            client.ping()
        except RedisError as exc:
            raise RedisUnavailable(
                f"cannot use Redis at {printable(url)}: {exc}",
                hint="Start that server or correct REDIS_URL; unset it to use the embedded one.",
            ) from exc
