"""The embedded server: a real Valkey or Redis on a private Unix socket.

Concurrent processes share it, and the last one stops it. File locks keep track,
because the kernel frees them when a process dies for whatever reason:

    start.lock    held while a process looks for the server or starts it
    server.lock   inherited by the server: if it is free, the server is dead
    clients.lock  shared by all clients: the one that gets it exclusively is the last
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from spritz_cli.errors import RedisUnavailable, StorageError
from spritz_cli.storage.files.locks import PATIENCE, held, open_lock, take_lock, try_lock, until
from spritz_cli.storage.redis.server_binary import server_binary

#: Attempts to start a server that is killed while it starts.
ATTEMPTS = 3

#: Seconds to wait for an answer before asking again.
ANSWER_SECONDS = 5.0

#: The longest path of a socket that every system accepts, in bytes.
LONGEST_SOCKET_PATH = 100

#: A larger log is deleted at the next start, in bytes.
LONGEST_LOG = 1_000_000

#: The append-only file is rewritten when it is larger than this and twice as large as the data.
#: Each start reads it. By default it grows to 64 MB in some months, which costs half a second.
REWRITTEN_FROM = "256kb"

_log = logging.getLogger(__name__)


class EmbeddedServer:
    """The server whose locks, data and log are in `folder`: `join` it, then `leave` it.

    Calls `meanwhile` while the server starts.
    """

    def __init__(self, folder: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.folder = folder
        self._meanwhile = meanwhile
        self._clients: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the running server."""
        return f"unix://{quote(str(self._socket))}"

    def join(self) -> None:
        """Become a client. Start the server unless it runs."""
        with _folder_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with held(self.folder / "start.lock"):
                # Waits here while a former last client stops the server.
                self._clients = take_lock(self.folder / "clients.lock", fcntl.LOCK_SH)
                _joined.add(self)
                try:
                    self._ensure_running()
                except BaseException:
                    # Also on Ctrl-C: a server that was just started must not stay behind.
                    self.leave()
                    raise

    def restart(self) -> None:
        """Start the server again if it died while this process is its client."""
        if self._clients is not None:
            with _folder_errors(self.folder), held(self.folder / "start.lock"):
                self._ensure_running()

    def leave(self) -> None:
        """Stop being a client. The last one stops the server, which saves its data."""
        clients, self._clients = self._clients, None
        _joined.discard(self)
        if clients is None:
            return
        try:
            if try_lock(clients, fcntl.LOCK_EX):
                self._stop()
        finally:
            os.close(clients)
            self._detach()

    def share(self) -> int | None:
        """Return a second handle of clients.lock, for a forked child."""
        if self._clients is None:
            return None
        # The folder may have been deleted meanwhile: then there is nothing to lock.
        with suppress(OSError):
            return take_lock(self.folder / "clients.lock", fcntl.LOCK_SH)
        return None

    def use_share(self, share: int | None) -> None:
        """Hold clients.lock by `share` instead of by the handle of the parent."""
        if self._clients is not None:
            os.close(self._clients)
        self._clients = share

    def _ensure_running(self) -> None:
        # A server that was just killed may still hold its lock without answering.
        if not (self._is_alive() and self._await_answer()):
            self._start()

    def _start(self) -> None:
        program, version = server_binary()
        self._set_aside_unreadable_data(version)
        for _ in range(ATTEMPTS):
            if self._launch(program, version):
                break
            # A server that was killed while it started says nothing about its data.
            if self._process and self._process.wait() > 0:
                self._start_without_data(program, version)
                break
        else:
            raise self._failure(f"the embedded Redis server does not start ({program})")

    def _start_without_data(self, program: Path, version: str) -> None:
        # Damaged data would prevent every start, and the store can rebuild the manifest.
        aside = self._set_aside_data("damaged")
        if self._launch(program, version):
            return
        # The data was not the cause.
        self._reap()
        shutil.rmtree(self._data)
        aside.rename(self._data)
        raise self._failure(f"the embedded Redis server does not start ({program})")

    def _launch(self, program: Path, version: str) -> bool:
        self._reap()
        self._prepare(version)
        lock = take_lock(self.folder / "server.lock", fcntl.LOCK_EX)
        try:
            self._process = self._spawn(program, lock)
        finally:
            os.close(lock)
        self._meanwhile()
        return self._await_answer()

    def _spawn(self, program: Path, lock: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # Not by stdin: if this process is killed now, the server would start with defaults.
            [program, self._configuration_file],
            stdin=subprocess.DEVNULL,
            # If the server kept our output open, `vidgen … | tail` would never end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            pass_fds=(lock,),
            # Ctrl-C must not reach a server that other processes use.
            start_new_session=True,
        )

    def _prepare(self, version: str) -> None:
        self._data.mkdir(exist_ok=True)
        (self._data / "version").write_text(version, "utf-8")
        path = self._choose_socket()
        path.unlink(missing_ok=True)
        if self._log_file.exists() and self._log_file.stat().st_size > LONGEST_LOG:
            self._log_file.unlink()
        (self.folder / "socket").write_bytes(os.fsencode(path))
        self._configuration_file.write_bytes(self._configuration())

    def _configuration(self) -> bytes:
        options: dict[str, str | Path] = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "700",
            "dir": self._data,
            "logfile": self._log_file,
            "loglevel": "warning",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-min-size": REWRITTEN_FROM,
            "save": "",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
        }
        return b"".join(
            name.encode() + b" " + _quoted(os.fsencode(value)) + b"\n"
            for name, value in options.items()
        )

    def _await_answer(self) -> bool:
        """Wait for an answer of the server; return False as soon as it is dead."""
        for _ in until(PATIENCE):
            if self._ask(b"PING").startswith(b"+PONG"):
                return True
            if not self._is_alive():
                return False
        raise self._failure(f"the embedded Redis server did not answer within {PATIENCE:.0f} s")

    def _stop(self) -> None:
        for _ in until(PATIENCE):
            if not self._is_alive():
                self._reap()
                self._remove_runtime_folder()
                return
            # Repeatedly: a server that is just starting does not listen yet.
            self._ask_to_stop()
        _log.warning("the embedded Redis server does not stop; its log is %s", self._log_file)

    def _ask_to_stop(self) -> None:
        # FORCE: a full disk must not keep it alive. Before Redis 7 there is no FORCE.
        for command in (b"SHUTDOWN FORCE", b"SHUTDOWN"):
            if not self._ask(command).startswith(b"-"):
                break

    def _ask(self, command: bytes) -> bytes:
        """Return the first bytes of the answer, empty without one."""
        path = os.fspath(self._socket)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
        return b""

    def _remove_runtime_folder(self) -> None:
        # No other process can be starting a server: it would wait for clients.lock.
        with suppress(OSError):
            path = self._socket
            if path.parent != self.folder:
                path.unlink(missing_ok=True)
                path.parent.rmdir()

    def _reap(self) -> None:
        if self._process:
            self._process.wait(PATIENCE)

    def _detach(self) -> None:
        if self._process and self._process.poll() is None:
            # Other clients still use it. Keep Popen from reporting a child left behind.
            self._process.returncode = 0

    def _is_alive(self) -> bool:
        lock = open_lock(self.folder / "server.lock")
        try:
            return not try_lock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _configuration_file(self) -> Path:
        return self.folder / "server.conf"

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def _socket(self) -> Path:
        # The process that started the server wrote it. Ours may have another temporary folder.
        return Path(os.fsdecode((self.folder / "socket").read_bytes()))

    def _choose_socket(self) -> Path:
        path = self.folder / "redis.sock"
        # Clients split the server's list of connections at spaces and equal signs.
        plain = not re.search(r"[\s=]", str(path))
        if plain and len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        private = _runtime_folder() / f"vidgen-{os.getuid()}-{name}"
        private.mkdir(mode=0o700, exist_ok=True)
        _require_private(private)
        return private / "redis.sock"

    def _set_aside_unreadable_data(self, version: str) -> None:
        # Another brand or an older version refuses the data, or starts empty without a word.
        stamp = self._data / "version"
        if self._data.is_dir():
            stored = stamp.read_text("utf-8") if stamp.exists() else "unknown 0"
            if not _can_read(version, stored):
                self._set_aside_data(stored.replace(" ", "-"))

    def _set_aside_data(self, reason: str) -> Path:
        aside = self.folder / f"data.{reason}.{time.time_ns()}"
        self._data.rename(aside)
        _log.warning("the embedded Redis server starts empty; its old data is in %s", aside)
        return aside

    def _failure(self, message: str) -> RedisUnavailable:
        hint = f"Its log is {self._log_file}. Or set REDIS_URL to a running server."
        return RedisUnavailable(message, hint=hint)


def _can_read(version: str, stored: str) -> bool:
    brand, major = version.split()
    stored_brand, stored_major = stored.split()
    return brand == stored_brand and int(major) >= int(stored_major)


def _runtime_folder() -> Path:
    own = Path(f"/run/user/{os.getuid()}")
    return own if os.access(own, os.W_OK) else Path(tempfile.gettempdir())


def _require_private(folder: Path) -> None:
    state = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or state.st_uid != os.getuid():
        raise StorageError(
            f"{folder} belongs to another user",
            hint="Remove it, or choose a shorter path for the state directory.",
        )
    folder.chmod(0o700)


def _quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"{exc.filename or folder}: {exc.strerror}",
            hint="Choose a local, writable state directory with VIDGEN_STATE_DIR.",
        ) from exc


# A forked child shares the lock of its parent's handle, and would lose it, and with it the
# server, as soon as the parent leaves. So it gets a handle of its own.
_joined: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()
_forking = threading.local()


def _before_fork() -> None:
    _forking.shares = []
    for server in list(_joined):
        _forking.shares.append((server, server.share()))


def _after_fork_in_parent() -> None:
    for _, share in _forking.shares:
        if share is not None:
            os.close(share)


def _after_fork_in_child() -> None:
    for server, share in _forking.shares:
        server.use_share(share)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
