"""Reads without the redis library give the same results as with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis, ResponseError

from spritz_cli.settings import Settings
from spritz_cli.storage.redis import fast_reads as reading
from spritz_cli.storage.redis.connection import connect, open_reading
from spritz_cli.storage.redis.fast_reads import Connection, ReadingClient, plain_connection
from spritz_cli.storage.redis.server_binary import server_binary
from tests import documents
from tests.processes import wait_until

Opener = Callable[[Connection | None], ReadingClient]

PASSWORD = "pass:w@rd/%41 é"


@pytest.fixture
def client(real_redis_url: str) -> Iterator[ReadingClient]:
    """A client that fails if it needs the library."""
    connection = plain_connection(real_redis_url)
    assert connection
    client = ReadingClient(connection, _never)
    yield client
    client.close()


@pytest.fixture
def opened(real_redis_url: str) -> Iterator[Opener]:
    """Makes clients of connections whose library uses the private server."""
    with ExitStack() as stack:

        def of(connection: Connection | None) -> ReadingClient:
            assert connection
            client = ReadingClient(connection, partial(connect, real_redis_url))
            return stack.enter_context(closing(client))

        yield of


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A server on a TCP port with a password; yields HOST:PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--port", str(port), "--requirepass", PASSWORD, "--dir", str(tmp_path), "--save", "")
    with subprocess.Popen([server_binary()[0], *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(partial(_listens, port))
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def test_it_reads_what_the_library_reads(client: ReadingClient, real_redis: Redis) -> None:
    real_redis.hset("film", mapping={"title": "Näch\r\nste Rate €5", "empty": "", "n": "1"})
    real_redis.hset("large", mapping={str(n): "x" * 1000 for n in range(500)})
    real_redis.pexpire("film", 60_000)

    film, large, absent, film_left, large_left, no_key = (
        client.pipeline(transaction=False)
        .hgetall("film")
        .hgetall("large")
        .hgetall("absent")
        .pttl("film")
        .pttl("large")
        .pttl("absent")
        .execute()
    )

    assert film == real_redis.hgetall("film")
    assert large == real_redis.hgetall("large")
    assert absent == real_redis.hgetall("absent")
    assert 0 < film_left <= 60_000
    assert (large_left, no_key) == (real_redis.pttl("large"), real_redis.pttl("absent"))
    assert client.hmget("film", ["n", "missing"]) == real_redis.hmget("film", ["n", "missing"])
    assert client.pipeline(transaction=False).execute() == []


def test_what_the_server_refuses_the_library_tells(
    opened: Opener, real_redis_url: str, real_redis: Redis
) -> None:
    real_redis.set("text", "no hash")
    client = opened(plain_connection(real_redis_url))

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        client.pipeline(transaction=False).hgetall("text").execute()
    refusal, left = (
        client.pipeline(transaction=False)
        .hgetall("text")
        .pttl("text")
        .execute(raise_on_error=False)
    )
    assert isinstance(refusal, ResponseError)
    assert left == -1


def test_a_connection_that_ends_is_made_anew_by_the_library(
    opened: Opener, real_redis_url: str, real_redis: Redis
) -> None:
    real_redis.hset("film", "n", "1")
    client = opened(plain_connection(real_redis_url))
    real_redis.client_kill_filter(_type="normal", skipme=True)

    for _ in range(2):
        assert client.pipeline(transaction=False).hgetall("film").execute() == [{"n": "1"}]


@pytest.mark.parametrize(
    "answer", [b"%1\r\n$1\r\nn\r\n$5\r\n2", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$1\r\n\xff\r\n"]
)
def test_what_is_no_answer_is_asked_again_by_the_library(
    answer: bytes, opened: Opener, real_redis: Redis
) -> None:
    real_redis.hset("film", "n", "1")
    here, there = socket.socketpair()
    with there:
        there.sendall(answer)
    client = opened(Connection(here))

    assert client.pipeline(transaction=False).hgetall("film").execute() == [{"n": "1"}]


def test_everything_else_is_done_by_the_library(opened: Opener, real_redis_url: str) -> None:
    client = opened(plain_connection(real_redis_url))

    assert client.set("name", "value")
    assert client.register_script("return redis.call('GET', KEYS[1])")(keys=["name"]) == "value"
    assert client.pipeline().get("name").execute() == ["value"]


def test_it_signs_in_and_chooses_the_database(guarded: str) -> None:
    secret = quote(PASSWORD, safe="")
    with connect(f"redis://:{secret}@{guarded}/3") as library:
        library.hset("film", "n", "3")

    for user in ("", "default"):
        connection = plain_connection(f"redis://{user}:{secret}@{guarded}/3")
        assert connection
        assert connection.ask([("HGETALL", "film")]) == [{"n": "3"}]
        connection.close()


@pytest.mark.parametrize("sign_in", ["", ":wrong@", "nobody:wrong@", "default@"])
def test_who_is_not_let_in_has_no_connection(guarded: str, sign_in: str) -> None:
    assert plain_connection(f"redis://{sign_in}{guarded}/0") is None


@pytest.mark.parametrize(
    "url",
    [
        "rediss://127.0.0.1:6379/0",
        "redis://127.0.0.1:6379/0?protocol=2",
        "redis://127.0.0.1:99999/0",
        "redis://127.0.0.1:6379/first",
        "redis://[::1/0",
        "unix:///nowhere/redis.sock",
        "unix:///nowhere/redis.sock?db=1",
        "valkey://127.0.0.1",
        "",
    ],
)
def test_other_addresses_are_left_to_the_library(url: str) -> None:
    assert plain_connection(url) is None


@pytest.mark.parametrize(
    "reply", [b"-ERR unknown command 'HELLO'\r\n", b"HTTP/1.1 200 OK\r\n", b""]
)
def test_other_servers_are_left_to_the_library(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as accepted:
                accepted.recv(100)
                accepted.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert plain_connection(f"redis://127.0.0.1:{server.getsockname()[1]}") is None
        thread.join()


def test_a_server_that_hangs_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert plain_connection(f"redis://127.0.0.1:{server.getsockname()[1]}") is None


def test_an_embedded_server_that_dies_is_started_again(tmp_path: Path) -> None:
    loaded: list[str] = []
    settings = Settings(tmp_path, tmp_path, tmp_path, tmp_path)
    with open_reading(settings, meanwhile=partial(loaded.append, "meanwhile")) as opened:
        opened.client.hset("film", "n", "1")
        killed = opened.client.info("server")["process_id"]
        os.kill(killed, signal.SIGKILL)

        batch = opened.client.pipeline(transaction=False)
        batch.hgetall("film")
        assert batch.execute() == [{"n": "1"}]
        assert opened.client.info("server")["process_id"] != killed
    assert loaded


@pytest.mark.parametrize("command", ["plan", "status"])
@pytest.mark.parametrize("where", ["embedded", "named"])
def test_commands_that_only_read_load_no_library(
    command: str, where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("real_redis_url") if where == "named" else ""
    program = (
        "import sys; from spritz_cli.cli import main; "
        f"main([{command!r}, '--json']); print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"REDIS_URL": url, "VIDGEN_STATE_DIR": f"{tmp_path}/s", "VIDGEN_VIDEOS_DIR": "videos"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert documents.read(ran.stdout)["films"]
    loaded = ran.stderr.split()
    assert "hiredis" in loaded
    assert "redis" not in loaded


def _never() -> Redis:
    raise AssertionError("the library was asked for")


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
