"""The processes that the cases need. Each is ended by its own id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.videos_server.footage import footage
from tests.videos_server.wire import Call, Listener, Reply, video_reply

FOLDER = Path(__file__).resolve().parent
ENV = FOLDER / ".env"
ROOT = FOLDER.parent.parent

#: Seconds until a server must answer, and must end after SIGTERM.
STARTING, LEAVING = 180.0, 10.0

GATEWAY_KEY = "sk-of-the-gateway"


class NotStarted(Exception):
    """Raised when a server does not start, with the path of its log."""


def is_installed(gateway: str) -> bool:
    return (ENV / gateway / "installed").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status_of(url: str, headers: Mapping[str, str]) -> int:
    """Return the HTTP status of a GET; raises OSError without an answer."""
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code


@contextmanager
def running(
    name: str, command: Sequence[str | Path], url: str, logs: Path, **environment: str
) -> Iterator[None]:
    """Run a server; it answers at `url` when the block starts, and is ended after it."""
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C must not reach it: it is ended after the processes that use it.
            start_new_session=True,
        )
    try:
        _wait(name, process, url, log)
        yield
    finally:
        end(process)


def end(process: subprocess.Popen[Any], gently: int = signal.SIGTERM) -> None:
    """End all processes of the session of a process."""
    for number in (gently, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LEAVING)


def _wait(name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"{name} did not start: see {log}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return status_of(url, {}) > 0
    except OSError:
        return False


@dataclass(frozen=True)
class FakeProvider:
    """Our fake provider as a process that can restart at the same address."""

    port: int
    logs: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @contextmanager
    def behaving(self, quirk: str, *, job_seconds: float = 0.3) -> Iterator[Path]:
        """Run it with an empty ledger, and yield the file of the ledger."""
        state = self.logs / "provider.json"
        state.unlink(missing_ok=True)
        module = (sys.executable, "-m", "tests.videos_server")
        options = {
            "port": self.port,
            "state": state,
            "quirk": quirk,
            "job-seconds": job_seconds,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        with running("provider", (*module, *flags), f"{self.base_url}/videos", self.logs):
            yield state


def ledger(state: Path) -> tuple[int, float]:
    """Return the number of orders that arrived at the fake provider, and its bill in dollars."""
    if not state.exists():
        return 0, 0.0
    document = json.loads(state.read_text("utf-8"))
    return document["posts"], float(document["charged_usd"])


@contextmanager
def litellm(provider_url: str, veo_url: str, logs: Path) -> Iterator[str]:
    """Run LiteLLM's proxy in front of two providers, and yield its base URL."""
    port = free_port()
    command = (ENV / "litellm/bin/litellm", "--config", FOLDER / "litellm.yaml")
    address = ("--host", "127.0.0.1", "--port", str(port))
    environment = {
        "PROVIDER_URL": provider_url,
        "VEO_URL": veo_url,
        # By default it downloads prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    origin = f"http://127.0.0.1:{port}"
    alive = f"{origin}/health/liveliness"
    with running("litellm", (*command, *address), alive, logs, **environment):
        yield f"{origin}/v1"


@contextmanager
def prism(logs: Path) -> Iterator[str]:
    """Run Prism with the published schema of the API, and yield its base URL."""
    port = free_port()
    program = ENV / "prism/node_modules/@stoplight/prism-cli/dist/index.js"
    command = (_node(), program, "mock", "-h", "127.0.0.1", "-p", str(port))
    url = f"http://127.0.0.1:{port}"
    with running("prism", (*command, FOLDER / "videos-api.yaml"), url, logs):
        yield url


@contextmanager
def aimock(fixtures: Sequence[Mapping[str, Any]], logs: Path) -> Iterator[str]:
    """Run aimock with these answers, and yield its origin."""
    port = free_port()
    answers = logs / "aimock.json"
    answers.write_text(json.dumps({"fixtures": fixtures}, indent=1), "utf-8")
    program = ENV / "aimock/node_modules/@copilotkit/aimock/dist/cli.js"
    url = f"http://127.0.0.1:{port}"
    with running("aimock", (_node(), program, "-p", str(port), "-f", answers), url, logs):
        yield url


@contextmanager
def film_server(seconds: int, size: str) -> Iterator[str]:
    """Serve one film, and yield its URL."""

    def respond(_: Call) -> Reply:
        return video_reply(footage(seconds, size))

    listener = Listener(respond)
    try:
        yield f"{listener.origin}/film.mp4"
    finally:
        listener.close()


def _node() -> str:
    return shutil.which("node") or "node"
