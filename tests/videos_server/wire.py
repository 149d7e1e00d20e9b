"""Requests and replies of the fake video server, and its HTTP listener."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import MIMEPart
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

Action = Literal["create", "list", "show", "content", "delete", "file", ""]

#: Failures instead of a complete answer: the connection is reset, the answer never comes, or
#: the body ends in the middle.
Fault = Literal["", "reset", "hold", "truncate"]

_ACTIONS: Mapping[tuple[str, int], Action] = {
    ("POST", 1): "create",
    ("GET", 1): "list",
    ("GET", 2): "show",
    ("DELETE", 2): "delete",
}


class Call(NamedTuple):
    """A request: `path` with its query, header names in lower case.

    Fields are JSON's own values, or the texts of a multipart form (a file's bytes).
    """

    method: str
    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def action(self) -> Action:
        """The route of the API, "" if it has no such route."""
        match self._parts:
            case ["v1", "videos", _, "content"] if self.method == "GET":
                return "content"
            case ["v1", "files", _] if self.method == "GET":
                return "file"
            case ["v1", "videos", *rest] if len(rest) < 2:
                return _ACTIONS.get((self.method, 1 + len(rest)), "")
        return ""

    @property
    def job_id(self) -> str:
        """The id in the path, "" without one."""
        return self._parts[2].removesuffix(".mp4") if len(self._parts) > 2 else ""

    @property
    def is_json(self) -> bool:
        return self._content_type == "application/json"

    @property
    def is_multipart(self) -> bool:
        return self._content_type == "multipart/form-data"

    @property
    def _content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]


@dataclass(frozen=True)
class Reply:
    """The answer of the server, or its failure to answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = ""

    @property
    def accepted(self) -> bool:
        return self.status < 300

    @property
    def is_video(self) -> bool:
        return self.accepted and self.headers.get("Content-Type") == "video/mp4"

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object in the body, empty without one."""
        if self.headers.get("Content-Type") != "application/json":
            return {}
        return cast("dict[str, Any]", json.loads(self.body))


def json_reply(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """Answer with a document."""
    body = json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})


def error_reply(
    status: int, message: str, code: str | None = None, *, retry_after: str | None = None
) -> Reply:
    """Answer with an error in the format of OpenAI."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    headers = {"Retry-After": retry_after} if retry_after else None
    return json_reply({"error": error}, status, headers)


def video_reply(film: bytes) -> Reply:
    """Answer with the bytes of an MP4."""
    return Reply(200, film, {"Content-Type": "video/mp4"})


class Listener:
    """One origin: a real HTTP/1.1 server on 127.0.0.1, in its own threads."""

    def __init__(
        self,
        respond: Callable[[Call], Reply],
        *,
        port: int = 0,
        reads_body: Callable[[], bool] = lambda: True,
    ) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.respond = respond
        self._server.reads_body = reads_body
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._server.shutdown()
        self._thread.join()
        self._server.cut_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    respond: Callable[[Call], Reply]
    reads_body: Callable[[], bool]

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.closing = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._process, args=(request, client_address), daemon=True)
        self._open[request] = thread
        thread.start()

    def _process(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)

    def cut_connections(self) -> None:
        self.closing.set()
        for connection, thread in list(self._open.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up. Any other error is a bug of the server."""
        if self.closing.is_set():
            return
        super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes. Without TCP_NODELAY they arrive 40 ms apart.
    disable_nagle_algorithm = True
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "transfer-encoding" in headers:
            self.close_connection = True
            return self._send(error_reply(411, "Send a Content-Length."))
        reads = self.server.reads_body() or self.command != "POST"
        body = self.rfile.read(int(headers.get("content-length", 0))) if reads else b""
        call = Call(self.command, self.path, headers, _fields(headers, body))
        self._answer(self.server.respond(call))

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet: the ledger has every request."""

    def _answer(self, reply: Reply) -> None:
        match reply.fault:
            case "reset":
                self._reset()
            case "hold":
                self.server.closing.wait()
                self.close_connection = True
            case _:
                self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.fault == "truncate":
            self.close_connection = True
            self.wfile.write(reply.body[: len(reply.body) // 2])
        else:
            self.wfile.write(reply.body)

    def _reset(self) -> None:
        # Lingering for 0 s turns the close into a reset, which no client takes for an end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def _fields(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Read the fields of a form or a JSON object. Any other body has none."""
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return _form(kind, body)
    with suppress(ValueError):
        document = json.loads(body)
        return document if isinstance(document, dict) else {}
    return {}


def _form(kind: str, body: bytes) -> dict[str, Any]:
    head = f"Content-Type: {kind}\r\n\r\n"
    message = message_from_bytes(head.encode() + body, policy=HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): _part(part)
        for part in message.iter_parts()
    }


def _part(part: MIMEPart) -> str | bytes:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return b""
    return content if part.get_filename() else content.decode("utf-8", "replace")
