"""The embedded server: a real Valkey or Redis on a private Unix socket.

Concurrent processes share it and the last one out stops it. File locks decide
everything, because the kernel frees them when a process dies, however it dies:

    start.lock    held while somebody looks for the server or starts it
    server.lock   inherited by the server: if it is free, the server is dead
    clients.lock  shared by every client; a client that gets it alone is the last
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

#: How often a server that is killed while it starts is started again.
ATTEMPTS = 3

#: How long a single answer may take, in seconds; who gets none asks again.
ANSWER_SECONDS = 5.0

#: The longest socket path that every system accepts, in bytes.
LONGEST_SOCKET_PATH = 100

#: A log larger than this starts anew, in bytes.
LONGEST_LOG = 1_000_000

#: A history longer than this, and twice as long as the data, is written anew. Each start reads
#: it: by default it would grow to 64 MB in some months, and then cost half a second.
REWRITTEN_FROM = "256kb"

_log = logging.getLogger(__name__)


class EmbeddedServer:
    """The server whose locks, data and log are in `folder`: `join` it, then `leave` it.

    `meanwhile` is called while the server starts.
    """

    def __init__(self, folder: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.folder = folder
        self._meanwhile = meanwhile
        self._clients: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the running server."""
        return f"unix://{quote(str(self._socket))}"

    def join(self) -> None:
        """Become a client; start the server unless it runs."""
        with _folder_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with held(self.folder / "start.lock"):
                # Waits here for a last client that is just stopping the server.
                self._clients = take_lock(self.folder / "clients.lock", fcntl.LOCK_SH)
                _joined.add(self)
                try:
                    self._ensure_running()
                except BaseException:
                    # Ctrl-C, say: what we have just started must not outlive us.
                    self.leave()
                    raise

    def revive(self) -> None:
        """Start the server again if it died although we are its client."""
        if self._clients is not None:
            with _folder_errors(self.folder), held(self.folder / "start.lock"):
                self._ensure_running()

    def leave(self) -> None:
        """Stop being a client; the last one stops the server, which saves its data."""
        clients, self._clients = self._clients, None
        _joined.discard(self)
        if clients is None:
            return
        try:
            if try_lock(clients, fcntl.LOCK_EX):
                self._stop()
        finally:
            os.close(clients)
            self._let_go()

    def share(self) -> int | None:
        """Return a second hold on the clients' lock, for the child of a fork to keep."""
        if self._clients is None:
            return None
        # The folder may have been deleted under us: then there is nothing to hold.
        with suppress(OSError):
            return take_lock(self.folder / "clients.lock", fcntl.LOCK_SH)
        return None

    def use_share(self, share: int | None) -> None:
        """Hold the clients' lock by `share` instead of by what the parent had."""
        if self._clients is not None:
            os.close(self._clients)
        self._clients = share

    def _ensure_running(self) -> None:
        # A server that was just killed may still hold its lock and then not answer.
        if not (self._is_alive() and self._await_answer()):
            self._start()

    def _start(self) -> None:
        program, version = server_binary()
        self._set_aside_unreadable_data(version)
        for _ in range(ATTEMPTS):
            if self._launch(program, version):
                break
            # Killed while it started: no reason to doubt its data.
            if self._process and self._process.wait() > 0:
                self._start_without_data(program, version)
                break
        else:
            raise self._failure(f"the embedded Redis server does not start ({program})")

    def _start_without_data(self, program: Path, version: str) -> None:
        # Damaged data would stop every start, and the store can rebuild the manifest.
        aside = self._set_aside_data("damaged")
        if self._launch(program, version):
            return
        # The data is not to blame.
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
            # A file, not stdin: if we are killed now, the server must not start with defaults.
            [program, self._configuration_file],
            stdin=subprocess.DEVNULL,
            # A server that kept our output open would keep `vidgen … | tail` waiting.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            pass_fds=(lock,),
            # Ctrl-C is meant for us, not for a server that others use as well.
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
        """Whether the server answers; False as soon as it is dead."""
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
            # Again and again: one that is just starting does not listen yet.
            self._ask_to_stop()
        _log.warning("the embedded Redis server does not stop; its log is %s", self._log_file)

    def _ask_to_stop(self) -> None:
        # By force, since a full disk must not keep it alive; before Redis 7 there is no force.
        for command in (b"SHUTDOWN FORCE", b"SHUTDOWN"):
            if not self._ask(command).startswith(b"-"):
                break

    def _ask(self, command: bytes) -> bytes:
        """Return the first bytes of the answer; none if there is none."""
        path = os.fspath(self._socket)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
        return b""

    def _remove_runtime_folder(self) -> None:
        # Nobody else can be starting a server: that waits for the lock that we hold.
        with suppress(OSError):
            path = self._socket
            if path.parent != self.folder:
                path.unlink(missing_ok=True)
                path.parent.rmdir()

    def _reap(self) -> None:
        if self._process:
            self._process.wait(PATIENCE)

    def _let_go(self) -> None:
        if self._process and self._process.poll() is None:
            # It outlives the process that started it, for the sake of the other clients.
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
        # As the starter wrote it: another process may have another temporary folder.
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
        # Another brand or an older version refuses the data, or silently starts empty.
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
    mine = Path(f"/run/user/{os.getuid()}")
    return mine if os.access(mine, os.W_OK) else Path(tempfile.gettempdir())


def _require_private(folder: Path) -> None:
    state = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or state.st_uid != os.getuid():
        raise StorageError(
            f"{folder} belongs to somebody else",
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


# Locks belong to the open file: without a hold of its own, the child of a fork
# would lose its parent's as soon as the parent leaves, and with it the server.
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
