"""A reverse proxy that counts the orders between two foreign servers."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

#: Hop-by-hop headers: they belong to one connection.
_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")

#: The length of an order: in a form, in JSON, in the JSON of Veo.
_SECONDS = re.compile(
    rb'(?:name="seconds"(?:\r\n[^\r\n]+)*\r\n\r\n|"(?:seconds|durationSeconds)": ?"?)(\d+)'
)


@dataclass(frozen=True)
class Passage:
    """A request and the status of its answer, 0 without one; `seconds` of ordered footage."""

    method: str
    path: str
    status: int
    seconds: int = 0

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class CountingProxy:
    """Forwards every request to the origin of `upstream`, and counts.

    `prefer` is added as the header Prefer to every request about a job. It chooses
    among the examples of Prism.
    """

    upstream: str
    prefer: str = ""
    passages: list[Passage] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{urlsplit(self.upstream).path}"

    @property
    def orders(self) -> list[Passage]:
        """Every POST, whatever its result."""
        return [passage for passage in self.passages if passage.method == "POST"]

    @property
    def accepted_seconds(self) -> int:
        """The seconds of footage in all accepted orders."""
        return sum(order.seconds for order in self.orders if order.accepted)

    def hand_on(self, handler: BaseHTTPRequestHandler) -> None:
        """Forward a request and its answer, and record both."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {n: text for n, text in handler.headers.items() if n.lower() not in _HOP}
        if self.prefer and not handler.path.endswith("/content"):
            headers["Prefer"] = self.prefer
        reply = self._ask(handler.command, handler.path, headers, body)
        ordered = _SECONDS.search(body)
        self.passages.append(
            Passage(
                handler.command,
                handler.path,
                reply.status if reply else 0,
                int(ordered[1]) if ordered else 0,
            )
        )
        if reply is None:
            _reset(handler)
        else:
            _say(handler, reply)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        parts = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request(method, path, body or None, dict(headers))
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: CountingProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.close_connection = True
        # The client may have been killed meanwhile: the request counts all the same.
        with suppress(ConnectionError):
            self.server.proxy.hand_on(self)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: the passages have every request."""


def _say(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response_only(reply.status)
    for name, text in reply.headers:
        if name.lower() not in _HOP:
            handler.send_header(name, text)
    handler.send_header("Content-Length", str(len(reply.body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(reply.body)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    # Lingering for 0 s turns the close into a reset, which no client takes for an end.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
