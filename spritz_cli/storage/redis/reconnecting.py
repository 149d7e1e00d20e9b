"""Connections that start the embedded server again if it died while we were its client."""

from __future__ import annotations

from typing import Any

from redis import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.retry import Retry

from spritz_cli.storage.redis.embedded_server import EmbeddedServer


def reviving_client(server: EmbeddedServer, retry: Retry) -> Redis:
    """Return a client of a server that we have joined."""
    pool = ConnectionPool.from_url(
        server.url,
        connection_class=_RevivingConnection,
        server=server,
        decode_responses=True,
        retry=retry,
    )
    return Redis.from_pool(pool)


class _RevivingConnection(UnixDomainSocketConnection):
    def __init__(self, *, server: EmbeddedServer, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._server = server

    def _connect(self) -> Any:
        try:
            return super()._connect()  # type: ignore[no-untyped-call]
        except OSError:
            self._server.revive()
            return super()._connect()  # type: ignore[no-untyped-call]
