"""Connections that restart the embedded server if it dies while this process is its client."""

from __future__ import annotations

from typing import Any

from redis import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.retry import Retry

from spritz_cli.storage.redis.embedded_server import EmbeddedServer


def reconnecting_client(server: EmbeddedServer, retry: Retry) -> Redis:
    """Return a client of a server that this process has joined."""
    pool = ConnectionPool.from_url(
        server.url,
        connection_class=_ReconnectingConnection,
        server=server,
        decode_responses=True,
        encoding_errors="replace",
        retry=retry,
    )
    return Redis.from_pool(pool)


class _ReconnectingConnection(UnixDomainSocketConnection):
    def __init__(self, *, server: EmbeddedServer, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._server = server

    def _connect(self) -> Any:
        try:
            return super()._connect()  # type: ignore[no-untyped-call]
        except OSError:
            self._server.restart()
            return super()._connect()  # type: ignore[no-untyped-call]
