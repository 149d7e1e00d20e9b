"""Fixtures for all tests: a clean environment, and Redis as a fake and as a real server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from spritz_cli.catalog.loader import Catalog
from spritz_cli.models import dollars
from spritz_cli.storage.redis.server_binary import server_binary
from spritz_cli.testing import fake_redis
from tests import s3
from tests.scenes import frozen_catalog


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the outcome of each deviation of a video server, if its tests ran."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    rows = sorted({row for report in reports for row in _deviations(report)})
    if rows:
        terminalreporter.section("deviations of video servers")
        titles = ("DEVIATION", "OUTCOME", "POSTS", "CHARGED", "COUNTED")
        for row in (titles, *rows):
            terminalreporter.line("{:42} {:15} {:>5} {:>9} {:>9}".format(*row))


def _deviations(report: pytest.TestReport) -> Iterator[tuple[str, ...]]:
    for name, value in getattr(report, "user_properties", ()):
        if name == "deviation":
            quirk, outcome, posts, *amounts = value
            yield quirk, outcome, str(posts), *(f"${dollars(amount)}" for amount in amounts)


@pytest.fixture(scope="session", autouse=True)
def listen_to_ctrl_c() -> None:
    """Undo that background runners ignore SIGINT: processes of the tests would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings and credentials of whoever runs the tests from vidgen."""
    for name in os.environ:
        if name.startswith(("VIDGEN_", "AWS_")) or name in ("REDIS_URL", "OPENAI_API_KEY"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private Valkey server for the whole session; yields its URL."""
    folder = tmp_path_factory.mktemp("v")
    with _serving(folder) as url:
        yield url


@pytest.fixture
def real_redis_url(redis_server: str) -> str:
    """The URL of the private server, emptied for this test."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def real_redis(real_redis_url: str) -> Iterator[Redis]:
    """A client of the private server, emptied for this test."""
    with Redis.from_url(real_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(params=["fake", "real"])
def any_redis(request: pytest.FixtureRequest) -> Redis:
    """Runs a test twice: on the fake and on the real server."""
    if request.param == "fake":
        return fake_redis()
    client: Redis = request.getfixturevalue("real_redis")
    return client


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Twenty templates with shipped scenes; no edit of templates.yaml changes them."""
    return frozen_catalog()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """An S3 server that keeps its objects on disk and ignores conditional requests."""
    yield from _object_store("rclone", tmp_path_factory.mktemp("rclone"))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """An S3 server that supports conditional requests and keeps its objects in memory."""
    yield from _object_store("moto", tmp_path_factory.mktemp("moto"))


def _object_store(kind: str, folder: Path) -> Iterator[s3.Server]:
    if not s3.installed(kind):
        pytest.skip(f"{kind} is not installed; run `make test-s3`")
    with s3.serving(kind, folder) as server:
        yield server


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    program, _ = server_binary()
    options = {"port": "0", "unixsocket": f"{folder}/redis.sock", "dir": str(folder), "save": ""}
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    process = subprocess.Popen(
        [program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"unix://{folder}/redis.sock"
    try:
        with Redis.from_url(url, retry=Retry(ConstantBackoff(0.02), 500)) as client:
            client.ping()
        yield url
    finally:
        process.terminate()
        process.wait(10)
