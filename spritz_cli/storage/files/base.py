"""The interface to the files of the stores, and its implementation on a disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from spritz_cli.errors import StorageError
from spritz_cli.models import Location
from spritz_cli.storage.files.disk import (
    FileRecord,
    create_public_folder,
    disk_errors,
    measure_pieces,
    open_folder,
    seal,
    sync_folder,
)
from spritz_cli.storage.files.locks import held
from spritz_cli.storage.files.scratch import ScratchFolders

_T = TypeVar("_T")
_R = TypeVar("_R")


class FoundFile(NamedTuple):
    """A stored file: its name below the location, its size, and its mtime in epoch seconds.

    `version` differs after every write. It is empty where the storage does not tell.
    """

    name: str
    bytes: int
    modified_at: float
    version: str = ""


class Content(NamedTuple):
    """The bytes of a file, and the version that they had when read (empty on a disk)."""

    data: bytes
    version: str = ""


class Files(Protocol):
    """Stores files under names such as `persona/topic/file`. Every write is atomic.

    A change is durable when the call returns. Every failure of the storage is a
    StorageError with a hint.
    """

    #: Hands out temporary folders on this machine. `put` takes files from them.
    scratch: ScratchFolders

    #: How many calls may usefully run in parallel.
    parallel_calls: int

    @property
    def location(self) -> Location: ...

    def put(self, file: Path, name: str) -> None:
        """Move a finished file into place. It replaces a file of the same name."""

    def put_last(self, file: Path, name: str, seen: Content | None) -> None:
        """Like `put`, for the sidecar that publishes the others. It replaces what was `seen`.

        A bucket raises StorageError if another process has written the file since.
        """

    def write(self, name: str, data: bytes) -> None: ...

    def read(self, name: str) -> Content | None: ...

    def measure(self, name: str) -> FileRecord | None:
        """Return size and digest of a stored file, after reading every byte; None if missing."""

    def find(self, prefix: str) -> Iterator[FoundFile]:
        """Yield the files whose names start with the prefix, sorted by name.

        Leaves out hidden files: those with a name or folder below the prefix that starts
        with a dot.
        """

    def snapshot(self, prefixes: Sequence[str]) -> AbstractContextManager[None]:
        """Answer `find` and `read` from one listing of these prefixes while the block runs.

        Makes reports about many files of a bucket fast. The snapshot ends with the first
        write by the same process. A disk needs no snapshot.
        """

    def touch(self, name: str) -> None:
        """Set the mtime of a file to now; StorageError if the file is gone."""

    def delete(self, name: str) -> bool:
        """Return False if the file is gone already."""

    def delete_empty_folder(self, name: str) -> None: ...

    def local(self, name: str, folder: Path) -> Path:
        """Return a path of the file on this machine. A file of a bucket is copied to `folder`."""

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock of this name, on all machines that share the storage."""


def in_parallel(files: Files, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Return the result of `work` for each item, in parallel where `files` gains from it."""
    items = list(items)
    threads = min(files.parallel_calls, len(items))
    if threads <= 1:
        return [work(item) for item in items]
    # A disk does not need it: loading it takes time.
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    # The threads must see the snapshot of this one.
    contexts = [copy_context() for _ in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda context, item: context.run(work, item), contexts, items))


def local_folder(files: Files) -> Path:
    """Return the folder that the files lie in; StorageError if they lie in a bucket."""
    if isinstance(files.location, Path):
        return files.location
    raise StorageError(
        f"{files.location} is no folder of this machine", hint="Ask for a `local` copy instead."
    )


class DiskFiles:
    """Stores files below a folder. It opens folders by handles and refuses symbolic links."""

    parallel_calls = 1

    def __init__(self, location: Path) -> None:
        self.location = Path(os.path.realpath(location))
        self.scratch = ScratchFolders(
            self.location / ".staging", partial(create_public_folder, self.location)
        )

    def put(self, file: Path, name: str) -> None:
        with self._errors(name), self._opened(name, create=True) as (folder, last):
            seal(file)
            # One file system, so the rename is atomic. A concurrent writer of the same
            # bytes can only replace the file with itself.
            os.rename(file, last, dst_dir_fd=folder)
            sync_folder(folder)

    def put_last(self, file: Path, name: str, seen: Content | None) -> None:
        del seen  # on a disk, leases keep writers apart
        self.put(file, name)

    def write(self, name: str, data: bytes) -> None:
        with self._errors(name), self._opened(name, create=True) as (folder, last):
            scratch = f".{last}.{os.getpid()}"
            try:
                _write(scratch, data, folder)
                os.rename(scratch, last, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(scratch, dir_fd=folder)
                raise
            sync_folder(folder)

    def read(self, name: str) -> Content | None:
        with self._errors(name), suppress(FileNotFoundError), self._reading(name) as file:
            return Content(file.read())
        return None

    def measure(self, name: str) -> FileRecord | None:
        with self._errors(name), suppress(FileNotFoundError), self._reading(name) as file:
            return measure_pieces(file)
        return None

    def find(self, prefix: str) -> Iterator[FoundFile]:
        folder, _, start = prefix.rpartition("/")
        yield from self._walk(folder, start)

    def snapshot(self, prefixes: Sequence[str]) -> AbstractContextManager[None]:
        del prefixes
        return nullcontext()

    def touch(self, name: str) -> None:
        with self._errors(name), self._opened(name) as (folder, last):
            os.utime(last, dir_fd=folder, follow_symlinks=False)

    def delete(self, name: str) -> bool:
        with self._errors(name), suppress(FileNotFoundError), self._opened(name) as (folder, last):
            os.unlink(last, dir_fd=folder)
            return True
        return False

    def delete_empty_folder(self, name: str) -> None:
        with suppress(OSError), self._opened(name) as (folder, last):
            os.rmdir(last, dir_fd=folder)

    def local(self, name: str, folder: Path) -> Path:
        del folder
        return self.location / name

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        path = self.location / name
        with self._errors(name):
            path.parent.mkdir(parents=True, exist_ok=True)
        with held(path):
            yield

    def _errors(self, name: str) -> AbstractContextManager[None]:
        return disk_errors((self.location / name).parent)

    @contextmanager
    def _opened(self, name: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a handle of the folder of a file, and its name in that folder."""
        *folders, last = name.split("/")
        with open_folder(self.location, *folders, create=create) as folder:
            yield folder, last

    @contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        with self._opened(name) as (folder, last):
            handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                yield file

    def _walk(self, folder: str, start: str = "") -> Iterator[FoundFile]:
        for name, status in self._entries(folder):
            path = f"{folder}/{name}" if folder else name
            if not name.startswith(start) or (name.startswith(".") and not start):
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(path)
            else:
                # Report links with size 0: no file of the stores is empty.
                size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                yield FoundFile(path, size, status.st_mtime, _version(status))

    def _entries(self, folder: str) -> list[tuple[str, os.stat_result]]:
        """Return the entries of a folder; none if it is missing or a symbolic link."""
        parts = folder.split("/") if folder else []
        with disk_errors(self.location / folder):
            try:
                with open_folder(self.location, *parts) as handle:
                    names = sorted(os.listdir(handle))  # noqa: PTH208 - of a handle
                    entries = [(name, _status(name, handle)) for name in names]
            except FileNotFoundError:
                return []
            except OSError as exc:
                if parts and exc.errno in (errno.ELOOP, errno.ENOTDIR):
                    return []
                raise
        return [(name, status) for name, status in entries if status]


def _write(name: str, data: bytes, folder: int) -> None:
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _version(status: os.stat_result) -> str:
    # Every write creates a new inode, and no backup tool can restore st_ctime.
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
