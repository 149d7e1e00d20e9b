"""The embedded server with real processes: shared, restarted, and stopped by the last one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from spritz_cli.errors import MissingLibrary, RedisUnavailable, StorageError, UsageError
from spritz_cli.settings import Settings
from spritz_cli.storage.redis import embedded_server as server, server_binary as binary
from spritz_cli.storage.redis.connection import OpenRedis, connect, open_redis, printable, writable
from tests.processes import wait_until

# A client that executes commands, one per line.
CLIENT = """
import os, sys
from pathlib import Path
from spritz_cli.settings import Settings
from spritz_cli.storage.redis.connection import open_redis
state = Path(sys.argv[1])
opened = open_redis(Settings(state, state, state, state))
redis = opened.client
print(redis.info("server")["process_id"], flush=True)
for line in sys.stdin:
    if line == "close\\n":
        opened.close()
        print("closed", flush=True)
    else:
        print(eval(line), flush=True)
opened.close()
"""

RACER = """
import sys
from pathlib import Path
from spritz_cli.settings import Settings
from spritz_cli.storage.redis.connection import open_redis
state = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with open_redis(Settings(state, state, state, state)) as opened:
        opened.client.incr("n")
        opened.client.sadd("servers", opened.client.info("server")["process_id"])
"""


@pytest.fixture(params=["state", "a path with spaces 'and' \"quotes\" é", "deep/" + "x" * 120])
def any_state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def settings(state: Path, url: str | None = None) -> Settings:
    return Settings(catalog=state, scenes=state, videos_dir=state, state_dir=state, redis_url=url)


def history(state: Path) -> int:
    """Return the number of bytes that a start reads."""
    files = (state / "redis" / "data").rglob("appendonly.aof.*")
    return sum(file.stat().st_size for file in files)


def pid_of(opened: OpenRedis) -> int:
    return int(opened.client.info("server")["process_id"])


def test_a_server_starts_keeps_its_data_and_goes(any_state: Path) -> None:
    with open_redis(settings(any_state)) as opened:
        assert opened.embedded
        opened.client.set("film", "é")
        pid = pid_of(opened)
        with connect(opened.url, decode_responses=False) as other:
            assert other.get("film") == "é".encode()
    assert gone(pid)
    with open_redis(settings(any_state)) as opened:
        assert pid_of(opened) != pid
        assert opened.client.get("film") == "é"


def test_a_socket_that_cannot_lie_in_the_state_directory_leaves_no_folder(any_state: Path) -> None:
    with open_redis(settings(any_state)) as opened:
        folder = Path(opened.client.config_get("unixsocket")["unixsocket"]).parent
        assert folder.is_dir()
    assert folder.is_relative_to(any_state) or not folder.exists()


def test_the_server_listens_to_this_user_only_and_never_forgets_for_want_of_memory(
    state: Path,
) -> None:
    with open_redis(settings(state)) as opened:
        configured = opened.client.config_get("*")
        folder = Path(configured["unixsocket"]).parent
    assert folder.stat().st_mode & 0o077 == 0
    assert (configured["port"], configured["unixsocketperm"]) == ("0", "700")
    assert (configured["maxmemory-policy"], configured["appendfsync"]) == ("noeviction", "everysec")


@pytest.mark.parametrize("name", ["some one", "a=b"])
def test_a_worker_can_read_the_servers_list_of_connections(name: str, tmp_path: Path) -> None:
    with open_redis(settings(tmp_path / name)) as opened:
        assert int(opened.client.client_info()["id"]) > 0


def test_two_processes_share_a_server_and_the_last_one_stops_it(state: Path) -> None:
    with client(state) as first, client(state) as second:
        assert first.server == second.server
        first.ask("redis.set('film', 'a')")
        first.close()
        assert second.ask("redis.get('film')") == "a"
        second.close()
        assert gone(first.server)


def test_racing_processes_start_one_server_at_a_time_and_lose_nothing(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(state), "5"], stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert errors == [b""] * 8
    with open_redis(settings(state)) as opened:
        assert opened.client.get("n") == "40"
        pids = [int(pid) for pid in opened.client.smembers("servers")]
    assert all(gone(pid) for pid in pids)


def test_processes_that_start_together_share_one_server(state: Path) -> None:
    with client(state) as one, client(state) as two, client(state) as three:
        assert one.server == two.server == three.server


def test_a_killed_server_is_replaced_with_its_data(state: Path) -> None:
    with client(state) as survivor:
        survivor.ask("redis.set('film', 'a')")
        os.kill(survivor.server, signal.SIGKILL)
        with open_redis(settings(state)) as opened:
            assert pid_of(opened) != survivor.server
            assert opened.client.get("film") == "a"
            assert survivor.ask("redis.get('film')") == "a"


def test_a_long_history_is_forgotten(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        for _ in range(300):
            opened.client.hset("film", mapping={"title": "x" * 1000})
        wait_until(lambda: history(state) < 100_000)
        assert opened.client.hget("film", "title") == "x" * 1000
    with open_redis(settings(state)) as opened:
        assert opened.client.hget("film", "title") == "x" * 1000


def test_a_client_starts_its_killed_server_again(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
        pid = pid_of(opened)
        os.kill(pid, signal.SIGKILL)
        assert opened.client.get("film") == "a"
        assert pid_of(opened) != pid
        second = pid_of(opened)
    assert gone(second)


def test_the_server_of_a_killed_client_is_adopted_by_the_next(state: Path) -> None:
    with client(state) as victim:
        victim.ask("redis.set('film', 'a')")
        victim.process.kill()
        victim.process.wait()
        with open_redis(settings(state)) as opened:
            assert pid_of(opened) == victim.server
            assert opened.client.get("film") == "a"
        assert gone(victim.server)


def test_ctrl_c_does_not_reach_the_server(state: Path) -> None:
    with client(state, start_new_session=True) as interrupted, client(state) as other:
        os.killpg(interrupted.process.pid, signal.SIGINT)
        interrupted.process.wait(10)
        assert other.ask("redis.ping()") == "True"


def test_a_forked_child_keeps_the_server_when_its_parent_leaves(state: Path) -> None:
    opened = open_redis(settings(state))
    pid = pid_of(opened)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.read(reader, 1)
        os._exit(0 if opened.client.ping() else 1)
    opened.close()
    os.write(writer, b".")
    assert os.waitpid(child, 0)[1] == 0
    assert not gone(pid, within=0.1)
    with open_redis(settings(state)) as again:
        assert pid_of(again) == pid
    assert gone(pid)


def test_a_forked_child_that_leaves_does_not_take_the_server_along(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        child = os.fork()
        if not child:
            opened.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert opened.client.ping()


def test_a_state_directory_that_was_deleted_does_not_break_a_fork(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        pid = pid_of(opened)
        (state / "redis").rename(state / "moved")
        child = os.fork()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        (state / "moved").rename(state / "redis")
    assert gone(pid)


def test_a_process_may_open_the_server_twice_and_close_it_twice(state: Path) -> None:
    with open_redis(settings(state)) as first:
        with open_redis(settings(state)) as second:
            pid = pid_of(second)
        second.close()
        assert pid_of(first) == pid
    assert gone(pid)


def test_the_output_of_a_client_ends_with_it_though_the_server_lives_on(state: Path) -> None:
    script = CLIENT.replace("opened.close()\n", "", 1).replace("for line in sys.stdin:", "if 0:")
    script = script.replace("\nopened.close()", "\nos._exit(0)")
    ended = subprocess.run(
        [sys.executable, "-c", script, str(state)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    with open_redis(settings(state)) as opened:
        assert pid_of(opened) == int(ended.stdout)


@pytest.mark.parametrize("stamp", ["redis 8", "valkey 99", None])
def test_data_of_another_server_is_set_aside(state: Path, stamp: str | None) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
    version = state / "redis" / "data" / "version"
    version.unlink()
    if stamp:
        version.write_text(stamp)
    with open_redis(settings(state)) as opened:
        assert opened.client.get("film") is None
    (aside,) = (state / "redis").glob("data.*")
    assert any((aside / "appendonlydir").iterdir())


def test_data_of_an_older_version_of_the_same_server_is_kept(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
    (state / "redis" / "data" / "version").write_text("valkey 8")
    with open_redis(settings(state)) as opened:
        assert opened.client.get("film") == "a"


def test_damaged_data_is_set_aside(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        for number in range(100):
            opened.client.set(f"film{number}", "a" * 100)
    for path in (state / "redis" / "data" / "appendonlydir").glob("*.incr.aof"):
        content = bytearray(path.read_bytes())
        content[500:1500] = b"!" * 1000
        path.write_bytes(content)
    with open_redis(settings(state)) as opened:
        assert opened.client.dbsize() == 0
    assert len(list((state / "redis").glob("data.damaged.*"))) == 1


def test_data_is_kept_when_something_else_stops_the_server(state: Path) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
    (state / "redis" / "redis.sock" / "in the way").mkdir(parents=True)
    with pytest.raises((RedisUnavailable, StorageError)):
        open_redis(settings(state))
    (state / "redis" / "redis.sock" / "in the way").rmdir()
    (state / "redis" / "redis.sock").rmdir()
    with open_redis(settings(state)) as opened:
        assert opened.client.get("film") == "a"


def test_data_is_kept_when_the_server_is_killed_while_it_starts(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
    spawn = server.EmbeddedServer._spawn
    spawned: list[object] = []

    def spawn_and_kill_the_first(*arguments) -> subprocess.Popen[bytes]:
        process = spawn(*arguments)
        if not spawned:
            process.kill()
        spawned.append(process)
        return process

    monkeypatch.setattr(server.EmbeddedServer, "_spawn", spawn_and_kill_the_first)
    with open_redis(settings(state)) as opened:
        assert opened.client.get("film") == "a"
    assert len(spawned) == 2


def test_data_is_kept_when_an_empty_server_does_not_start_either(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_redis(settings(state)) as opened:
        opened.client.set("film", "a")
    configuration = server.EmbeddedServer._configuration
    with monkeypatch.context() as patched:
        patched.setattr(
            server.EmbeddedServer, "_configuration", lambda self: configuration(self) + b"bogus 1\n"
        )
        with pytest.raises(RedisUnavailable, match="does not start"):
            open_redis(settings(state))
    with open_redis(settings(state)) as opened:
        assert opened.client.get("film") == "a"


def test_no_server_program_is_one_clear_error(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_candidates", lambda: [state / "nothing", Path("/bin/true")])
    with pytest.raises(MissingLibrary) as caught:
        open_redis(settings(state))
    assert "REDIS_URL" in caught.value.hint
    monkeypatch.undo()
    with open_redis(settings(state)) as opened:
        assert opened.client.ping()


def test_a_state_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        open_redis(settings(tmp_path / "file" / "state"))
    assert "VIDGEN_STATE_DIR" in caught.value.hint


def test_ctrl_c_while_the_server_starts_leaves_none(
    any_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupt(embedded: server.EmbeddedServer) -> None:
        assert embedded._process
        started.append(embedded._process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(server.EmbeddedServer, "_await_answer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_redis(settings(any_state))
    assert gone(started[0])


def test_ctrl_c_just_after_the_server_started_leaves_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spritz_cli.storage.redis.reconnecting.ConnectionPool.from_url", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_redis(settings(state))
    assert not server.EmbeddedServer(state / "redis")._is_alive()


def test_ctrl_c_while_joining_leaves_the_server_to_its_other_clients(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: server.EmbeddedServer) -> None:
        raise KeyboardInterrupt

    with open_redis(settings(state)) as opened:
        pid = pid_of(opened)
        monkeypatch.setattr(server.EmbeddedServer, "_await_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_redis(settings(state))
        assert pid_of(opened) == pid
    assert gone(pid)


def test_a_socket_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_runtime_folder", lambda: tmp_path)
    state = tmp_path / ("x" * 120)
    embedded = server.EmbeddedServer(state / "redis")
    (state / "redis").mkdir(parents=True)
    trap = embedded._choose_socket().parent
    trap.rmdir()
    trap.symlink_to("/tmp")
    with pytest.raises(StorageError, match="another user"):
        open_redis(settings(state))


def test_a_named_server_is_used_and_not_stopped(state: Path, real_redis_url: str) -> None:
    with open_redis(settings(state, real_redis_url)) as opened:
        assert not opened.embedded
        opened.client.set("film", "a")
    with connect(real_redis_url) as again:
        assert again.get("film") == "a"
    assert not state.exists()


def test_a_named_server_that_is_away_is_an_error_and_never_replaced(state: Path) -> None:
    url = "redis://someone:secret@127.0.0.1:1/0"
    with pytest.raises(RedisUnavailable) as caught:
        open_redis(settings(state, url))
    assert "redis://someone:***@127.0.0.1:1/0" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint
    assert caught.value.exit_code == 3
    assert not state.exists()


@pytest.mark.parametrize("url", ["localhost:6379", "http://h", "redis://:pa/ss@h:1", "redis://h:x"])
def test_an_address_that_makes_no_sense_is_a_usage_error(state: Path, url: str) -> None:
    with pytest.raises(UsageError, match="REDIS_URL") as caught:
        open_redis(settings(state, url))
    assert "ss@" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter@2@h:1/0",
        "redis://me:hunter@2@h:1/0",
        "redis://me:hun#ter2@h:1/0",
        "redis://:hun/ter2@h:1/0",
        "redis://me:12/hunter2@h:1/0",
        "redis://:hun?ter2@h:1/0",
        "unix://:hun/ter2@/run/redis.sock",
    ],
)
def test_a_password_that_is_not_encoded_is_told_without_showing_it(state: Path, url: str) -> None:
    with pytest.raises(UsageError, match="REDIS_URL") as caught:
        open_redis(settings(state, url))
    assert "ercent-encode the password" in caught.value.hint
    assert not re.search("hun|ter2|2@", caught.value.message + caught.value.hint)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hunter%402@h:1/0",
        "redis://h:1/0?password=hunter@2&client_name=a@b",
        "unix:///run/me@home/redis.sock",
        "unix://me:hunter2@/run/me@home/redis.sock",
    ],
)
def test_an_at_sign_in_its_place_is_fine(url: str) -> None:
    connect(url).close()


def test_a_server_that_can_be_written_keeps_nothing_of_the_trial(real_redis: Redis) -> None:
    writable(real_redis)
    assert real_redis.keys() == []


def test_a_server_that_cannot_be_written_says_why(real_redis: Redis) -> None:
    real_redis.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(RedisUnavailable, match="read only") as caught:
            writable(real_redis)
    finally:
        real_redis.replicaof("NO", "ONE")
    assert "primary" in caught.value.hint
    real_redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisUnavailable, match="maxmemory"):
            writable(real_redis)
    finally:
        real_redis.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:secret@h/0", "redis://:***@h/0"),
        ("rediss://me:se@cret/s@h:1/0", "rediss://me:***@h:1/0"),
        ("redis://h/0?db=1&password=secret", "redis://h/0?db=1&password=***"),
        ("redis://:secret", "redis://:***"),
        ("unix:///a b/redis.sock", "unix:///a b/redis.sock"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert printable(url) == shown


class Client:
    """A process that is a client of the server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.server = int(self._answer())

    def ask(self, expression: str) -> str:
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.ask("close") == "closed"

    def _answer(self) -> str:
        return self.process.stdout.readline().removesuffix("\n")


@contextmanager
def client(state: Path, start_new_session: bool = False) -> Iterator[Client]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )
    try:
        yield Client(process)
    finally:
        process.stdout.close()
        process.stdin.close()
        process.wait(20)


def gone(pid: int, within: float = 5) -> bool:
    """Whether the process has ended, or is a zombie."""
    return until(lambda: not alive(pid), within)


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def until(condition: Callable[[], bool], within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
