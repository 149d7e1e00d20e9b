"""S3 servers as processes: rclone if it is installed, and moto from the dev packages.

rclone keeps objects on disk and ignores conditional requests. moto keeps them in memory and
supports conditional requests.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

KEY, SECRET = "vidgen-test", "test-secret-of-vidgen"
BUCKET = "films"

#: Where `make test-s3` installs it.
RCLONE = Path(__file__).parent.parent / ".venv" / "bin" / "rclone"


class Counter:
    """A counter for several threads."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self.value += 1


@dataclass(frozen=True)
class Server:
    """A running server; `environment` has its URL and credentials."""

    kind: str
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


def installed(kind: str) -> bool:
    if kind == "moto":
        return bool(find_spec("moto") and find_spec("flask"))
    return _rclone() is not None


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Server]:
    """Run a server with one bucket; rclone keeps its data in `folder`."""
    port = free_port()
    (folder / BUCKET).mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(kind, folder, port),
            env={**os.environ, "RCLONE_AUTH_KEY": f'"{KEY},{SECRET}"'},
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(port, process)
            server = Server(kind, f"http://127.0.0.1:{port}")
            if kind == "moto":
                client(server).create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.kill()
            process.wait()


@contextmanager
def stalling(server: Server, at: bytes) -> Iterator[tuple[str, Counter]]:
    """Run a proxy that stalls every upload whose path contains `at`.

    Yields its URL and the number of stalled uploads.
    """
    stalled = Counter()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_proxy, args=(listener, server, at, stalled), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", stalled


def client(server: Server):
    """Return a client that is independent of vidgen's own."""
    import botocore.session

    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET)
    return session.create_client("s3", endpoint_url=server.url, region_name="us-east-1")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _proxy(listener: socket.socket, server: Server, at: bytes, stalled: Counter) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    while True:
        try:
            downstream, _ = listener.accept()
        except OSError:
            return
        upstream = socket.create_connection((host, int(port)))
        for ends in ((upstream, downstream, b"\0"), (downstream, upstream, at)):
            threading.Thread(target=_forward, args=(*ends, stalled), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket, at: bytes, stalled: Counter) -> None:
    with suppress(OSError), source, sink:
        while data := source.recv(65536):
            line = data.partition(b"\r\n")[0]
            if line.startswith(b"PUT ") and at in line:
                stalled.count()
                time.sleep(60)
                return
            sink.sendall(data)


def _command(kind: str, folder: Path, port: int) -> list[str]:
    if kind == "moto":
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"127.0.0.1:{port}"
    return [str(_rclone()), "serve", "s3", "--addr", address, "--config", os.devnull, str(folder)]


def _rclone() -> str | None:
    """Return an rclone that can serve S3, which takes version 1.65 or newer; None if absent."""
    for program in filter(None, [shutil.which(RCLONE), shutil.which("rclone")]):
        help_text = subprocess.run([program, "serve", "s3", "--help"], capture_output=True).stdout
        if b"--auth-key" in help_text:
            return program
    return None


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server ended at once"
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not accept connections")
