"""Reads for commands that are soon over, without the redis library.

To load that library takes longer than all else that `vidgen status` does. A server whose
address says it all is asked through hiredis, which is the library's own parser. For anything
but reads, and as soon as something goes wrong, the library is loaded and does it instead.
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

#: A connection that broke or took too long, an answer that is no text, none at all, or a refusal.
FAILURES = (OSError, ValueError, hiredis.HiredisError)

#: Seconds to wait for the server; who waits longer waits with the library.
ANSWER_SECONDS = 1.0

PORT = 6379

_RECEIVED_BYTES = 1 << 16

_MORE = object()


class Connection:
    """A connection that answers batches of commands."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._reader = hiredis.Reader(encoding="utf-8", notEnoughData=_MORE)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands at once; raises one of FAILURES, also if any is refused."""
        # Untyped: the library's stub knows commands of one word.
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
    """Does what a client of the library does; quickly, as long as it is only asked to read.

    Belongs to one thread.
    """

    def __init__(self, connection: Connection, open_library: Callable[[], Redis]) -> None:
        self.connection = connection
        self._open_library = open_library

    @cached_property
    def library(self) -> Redis:
        """The client that knows everything."""
        return self._open_library()

    def pipeline(self, transaction: bool = True) -> Any:
        return self.library.pipeline() if transaction else Batch(self)

    def hmget(self, name: str, keys: Sequence[str]) -> Any:
        return self.pipeline(transaction=False).hmget(name, keys).execute()[0]

    def register_script(self, script: str) -> Callable[..., Any]:
        """Return a function that has the script registered when it is first called."""

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
    """Reads that are sent together, like a pipeline of the library."""

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
            # What is still to come on it would answer the wrong question.
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

    None if the address says more than that, or if the server is not there, refuses or is too
    old for RESP3: the library knows what to do, or to say, then.
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
    """Return the commands that a connection begins with; ValueError if that is not all."""
    plain = parts.scheme == "redis" or (parts.scheme == "unix" and not parts.netloc)
    if not plain or parts.query or parts.fragment or (parts.username and not parts.password):
        raise ValueError("not an address that says it all")
    hello: Command = ("HELLO", "3")
    if parts.password:
        hello += ("AUTH", unquote(parts.username or "default"), unquote(parts.password))
    database = int(parts.path.strip("/") or 0) if parts.scheme == "redis" else 0
    return [hello, ("SELECT", str(database))] if database else [hello]
