"""Reads from Redis for short commands, without the redis library.

Loading that library takes longer than the rest of `vidgen status`. A server with a simple
address is asked through hiredis, the parser that the library uses too. For everything but
reads, and after the first failure, the library is loaded and takes over.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

import hiredis

if TYPE_CHECKING:
    from redis import Redis

Command = tuple[str, ...]

#: A broken or slow connection, an answer that is not text, or an error of the server.
FAILURES = (OSError, ValueError, hiredis.HiredisError)

#: Seconds to wait for the server. The library, which takes over then, waits longer.
ANSWER_SECONDS = 1.0

PORT = 6379

_RECEIVED_BYTES = 1 << 16

_MORE = object()


class Connection:
    """A connection that sends commands in batches."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace", notEnoughData=_MORE)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands and return their answers; raises one of FAILURES if any fails."""
        # Untyped: the stub of hiredis only knows commands of one word.
        pack: Any = hiredis.pack_command
        self._socket.sendall(b"".join(map(pack, commands)))
        answers = [self._answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                raise answer
        return answers

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> Any:
        while (answer := self._reader.gets()) is _MORE:
            received = self._socket.recv(_RECEIVED_BYTES)
            if not received:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(received)
        return answer


class ReadingClient:
    """Behaves like a client of the library, but loads the library only for other than reads.

    Not thread-safe.
    """

    def __init__(self, connection: Connection, open_library: Callable[[], Redis]) -> None:
        self.connection = connection
        self._open_library = open_library

    @cached_property
    def library(self) -> Redis:
        """A client of the redis library."""
        return self._open_library()

    def pipeline(self, transaction: bool = True) -> Any:
        return self.library.pipeline() if transaction else Batch(self)

    def hmget(self, name: str, keys: Sequence[str]) -> Any:
        return self.pipeline(transaction=False).hmget(name, keys).execute()[0]

    def register_script(self, script: str) -> Callable[..., Any]:
        """Return a function that registers the script with its first call."""

        def run(**arguments: Any) -> Any:
            return self.library.register_script(script)(**arguments)

        return run

    def close(self) -> None:
        self.connection.close()
        if "library" in vars(self):
            self.library.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)


class Batch:
    """Reads that are sent in one batch, like a pipeline of the library."""

    def __init__(self, client: ReadingClient) -> None:
        self._client = client
        self._commands: list[Command] = []

    def hgetall(self, name: str) -> Self:
        return self._add("HGETALL", name)

    def hmget(self, name: str, keys: Sequence[str]) -> Self:
        return self._add("HMGET", name, *keys)

    def pttl(self, name: str) -> Self:
        return self._add("PTTL", name)

    def execute(self, raise_on_error: bool = True) -> Any:
        try:
            return self._client.connection.ask(self._commands)
        except FAILURES:
            # Late answers on it would be taken for those of the next batch.
            self._client.connection.close()
            return self._by_library(raise_on_error)

    def _add(self, *command: str) -> Self:
        self._commands.append(command)
        return self

    def _by_library(self, raise_on_error: bool) -> Any:
        pipeline: Any = self._client.library.pipeline(transaction=False)
        for command in self._commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=raise_on_error)


def plain_connection(url: str) -> Connection | None:
    """Connect to redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:///PATH.

    Returns None for any other address, and if the server cannot be reached, refuses the
    connection or does not speak RESP3. The library handles these cases.
    """
    try:
        parts = urlsplit(url)
        greeting = _greeting(parts)
        connection = Connection(_opened(parts))
    except (OSError, ValueError):
        return None
    try:
        connection.ask(greeting)
    except FAILURES:
        connection.close()
        return None
    return connection


def _opened(parts: SplitResult) -> socket.socket:
    if parts.scheme == "redis":
        address = parts.hostname or "localhost", parts.port or PORT
        return socket.create_connection(address, ANSWER_SECONDS)
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(ANSWER_SECONDS)
    try:
        opened.connect(unquote(parts.path))
    except OSError:
        opened.close()
        raise
    return opened


def _greeting(parts: SplitResult) -> list[Command]:
    """Return the first commands of a connection; ValueError for an address with other parts."""
    plain = parts.scheme == "redis" or (parts.scheme == "unix" and not parts.netloc)
    if not plain or parts.query or parts.fragment or (parts.username and not parts.password):
        raise ValueError("not a simple address")
    hello: Command = ("HELLO", "3")
    if parts.password:
        hello += ("AUTH", unquote(parts.username or "default"), unquote(parts.password))
    database = int(parts.path.strip("/") or 0) if parts.scheme == "redis" else 0
    return [hello, ("SELECT", str(database))] if database else [hello]
