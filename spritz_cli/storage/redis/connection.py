"""Opens the connection to Redis: to the server of REDIS_URL, or to the embedded server.

Functions import the redis library when they need it. Loading it takes as long as starting
the embedded server, so both happen in parallel, and some commands never load it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from urllib.parse import SplitResult, urlsplit

from spritz_cli.errors import RedisUnavailable, UsageError
from spritz_cli.settings import Settings
from spritz_cli.storage.redis.embedded_server import EmbeddedServer
from spritz_cli.storage.redis.fast_reads import ReadingClient, plain_connection

if TYPE_CHECKING:
    from redis import Redis
    from redis.retry import Retry

#: How a client treats a server that does not answer: `short` gives up within seconds,
#: `normal` retries a few times, `long` outlasts a restart of the server.
Patience = Literal["short", "normal", "long"]

#: Seconds to wait for a connection.
CONNECT_TIMEOUT = 5.0

#: Seconds to wait for a connection, and for each reply, with short patience.
SHORT_TIMEOUT = 1.0

#: Seconds after which the test key of `writable` expires if it cannot be deleted.
_TEST_KEY_SECONDS = 60


class OpenRedis:
    """A client and the URL of its server. Closing it may stop the embedded server."""

    def __init__(self, client: Redis, url: str, server: EmbeddedServer | None = None) -> None:
        self.client = client
        self.url = url
        self.embedded = server is not None
        self._server = server

    def close(self) -> None:
        """Disconnect. The last client of the embedded server stops it."""
        self.client.close()
        if self._server:
            self._server.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_redis(
    settings: Settings, *, patience: Patience = "normal", ping: bool = True
) -> OpenRedis:
    """Connect to the server of `settings.redis_url`, or without one to the embedded server.

    Raises RedisUnavailable if that server cannot be reached; never falls back to
    another one. Without `ping` the first request is left to the caller: another
    process of the same run has just reached the server.
    """
    if settings.redis_url:
        client = connect(settings.redis_url, patience)
        if ping:
            _require_answer(settings.redis_url, client, patience)
        return OpenRedis(client, settings.redis_url)
    server = EmbeddedServer(settings.state_dir / "redis", partial(import_module, "redis"))
    return _open_embedded(server, partial(_reconnecting, server, patience))


def open_reading(settings: Settings, meanwhile: Callable[[], object]) -> OpenRedis:
    """Connect like `open_redis`, for a short command that only reads.

    Calls `meanwhile` while an embedded server starts.
    """
    if settings.redis_url:
        return _open_plainly(settings.redis_url) or open_redis(settings)
    server = EmbeddedServer(settings.state_dir / "redis", meanwhile)
    return _open_embedded(server, partial(_reading_embedded, server))


def connect(url: str, patience: Patience = "normal", *, decode_responses: bool = True) -> Redis:
    """Return a client that connects on first use. RQ needs `decode_responses=False`."""
    from redis import DriverInfo, Redis, __version__

    _require_unambiguous(url)
    try:
        return Redis.from_url(
            url,
            decode_responses=decode_responses,
            # One value of another program that is not UTF-8 must not hide all the others.
            encoding_errors="replace",
            # Without it, each connection reads the metadata of the library.
            driver_info=DriverInfo(lib_version=__version__),
            **_limits(patience),
        )
    except ValueError:
        # `from None`: the message of urllib may contain a part of the password.
        raise UsageError(
            f"REDIS_URL is not the address of a Redis server: {printable(url)}",
            hint="Use redis://HOST:PORT/0, rediss://… for TLS, or unix:///PATH.",
        ) from None


def writable(client: Redis) -> None:
    """Write and delete a test key; RedisUnavailable if the server refuses."""
    from spritz_cli.storage.redis.errors import redis_errors

    name = f"video:doctor:{uuid.uuid4().hex}"
    with redis_errors():
        client.set(name, "1", ex=_TEST_KEY_SECONDS)
        client.delete(name)


def printable(url: str) -> str:
    """Return the URL without its password, even if the URL is malformed."""
    hidden = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url)
    hidden = re.sub(r"://:[^@*]+$", "://:***", hidden)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def _open_plainly(url: str) -> OpenRedis | None:
    _require_unambiguous(url)
    client = _reading(url, partial(connect, url))
    return OpenRedis(client, url) if client else None


def _reading(url: str, open_library: Callable[[], Redis]) -> Redis | None:
    connection = plain_connection(url)
    return cast("Redis", ReadingClient(connection, open_library)) if connection else None


def _reading_embedded(server: EmbeddedServer) -> Redis:
    library = partial(_reconnecting, server)
    return _reading(server.url, library) or library()


def _reconnecting(server: EmbeddedServer, patience: Patience = "normal") -> Redis:
    from spritz_cli.storage.redis.reconnecting import reconnecting_client

    return reconnecting_client(server, _retry(patience))


def _open_embedded(server: EmbeddedServer, open_client: Callable[[], Redis]) -> OpenRedis:
    try:
        server.join()
        return OpenRedis(open_client(), server.url, server)
    except BaseException:
        # Also on Ctrl-C: no other code knows that the server was joined.
        server.leave()
        raise


def _retry(patience: Patience) -> Retry:
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

    return Retry(ExponentialBackoff(cap=1, base=0.05), 90 if patience == "long" else 3)


def _limits(patience: Patience) -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if patience != "short":
        return {"socket_connect_timeout": CONNECT_TIMEOUT, "retry": _retry(patience)}
    return {
        "socket_connect_timeout": SHORT_TIMEOUT,
        "socket_timeout": SHORT_TIMEOUT,
        "retry": Retry(NoBackoff(), 1),
    }


def _require_unambiguous(url: str) -> None:
    # A part of such a password would be taken for the host, and shown in errors.
    try:
        clear = _at_sign_is_in_place(urlsplit(url))
    except ValueError:
        # Not an address at all: the redis library refuses it.
        clear = True
    if not clear:
        raise UsageError(
            "REDIS_URL has an “@” where an address cannot have one",
            hint="Percent-encode the password: %40 for @, %23 for #, %2F for /, %3F for ?.",
        )


def _at_sign_is_in_place(parts: SplitResult) -> bool:
    names = [item.partition("=")[0] for item in parts.query.split("&")]
    after_host = [parts.fragment, *names]
    # The path of a socket may contain one, unless the authority seems to end too early.
    if parts.scheme != "unix" or (parts.netloc and "@" not in parts.netloc):
        after_host.append(parts.path)
    return parts.netloc.count("@") <= 1 and not any("@" in text for text in after_host)


def _require_answer(url: str, client: Redis, patience: Patience) -> None:
    from redis import RedisError

    # A client with long patience would wait for a server that never existed.
    first = connect(url) if patience == "long" else client
    try:
        first.ping()
    except RedisError as exc:
        client.close()
        raise RedisUnavailable(
            f"cannot use Redis at {printable(url)}: {exc}",
            hint="Start that server or correct REDIS_URL; unset it to use the embedded one.",
        ) from exc
    finally:
        if first is not client:
            first.close()
