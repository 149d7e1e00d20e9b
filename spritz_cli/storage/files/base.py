"""What keeps the files of the stores: one interface, and the disk behind it."""

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
    """A file that is there: its name below the location, its size, its age as epoch seconds.

    Another `version` (empty: unknown) means that the file was written anew.
    """

    name: str
    bytes: int
    modified_at: float
    version: str = ""


class Content(NamedTuple):
    """What a file said when it was read, and a mark of that state (disks have none)."""

    data: bytes
    version: str = ""


class Files(Protocol):
    """Keeps files by names such as `persona/topic/file`, each whole or not there at all.

    What a call has done is durable when it returns. Whatever the storage refuses
    is a StorageError that says what to do.
    """

    #: Where temporary files are made that `put` then takes.
    scratch: ScratchFolders

    #: How many calls are worth having under way at the same time.
    calls_at_once: int

    @property
    def location(self) -> Location: ...

    def put(self, file: Path, name: str) -> None:
        """Move a finished file into place, or make it replace the one that is there."""

    def put_last(self, file: Path, name: str, seen: Content | None) -> None:
        """Like `put`, for the file that makes others count: it replaces what was `seen`.

        A storage that can tell refuses if somebody else has been there since.
        """

    def write(self, name: str, data: bytes) -> None: ...

    def read(self, name: str) -> Content | None: ...

    def measure(self, name: str) -> FileRecord | None:
        """Return size and digest of what is stored, reading every byte."""

    def find(self, prefix: str) -> Iterator[FoundFile]:
        """Yield all files whose names begin so, in their order, but not hidden ones.

        Hidden is what has a name with a dot in front below the prefix.
        """

    def surveyed(self, prefixes: Sequence[str]) -> AbstractContextManager[None]:
        """Let `find` and `read` answer meanwhile from what lies below these prefixes now.

        For whoever looks at many files only to tell about them: what is far away is
        listed once. Whatever changes a file ends it; a disk needs none.
        """

    def touch(self, name: str) -> None:
        """Make a file young again; StorageError if it is gone."""

    def delete(self, name: str) -> bool:
        """Return False if it is gone already."""

    def delete_empty_folder(self, name: str) -> None: ...

    def local(self, name: str, folder: Path) -> Path:
        """Return the file on this machine, copied to `folder` unless it is here already."""

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Keep everybody else out who uses the same name."""


def at_once(files: Files, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Do the same for all items, as far as `files` gains from it side by side."""
    items = list(items)
    threads = min(files.calls_at_once, len(items))
    if threads <= 1:
        return [work(item) for item in items]
    # Not loaded for a disk.
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    # So that a survey holds for those who help, too.
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
    """Keeps files below a folder, through handles that refuse symbolic links."""

    calls_at_once = 1

    def __init__(self, location: Path) -> None:
        self.location = Path(os.path.realpath(location))
        self.scratch = ScratchFolders(
            self.location / ".staging", partial(create_public_folder, self.location)
        )

    def put(self, file: Path, name: str) -> None:
        with self._errors(name), self._opened(name, create=True) as (folder, last):
            seal(file)
            # Within one file system, so the rename is atomic, and a rival
            # writer of the same bytes can only replace them with themselves.
            os.rename(file, last, dst_dir_fd=folder)
            sync_folder(folder)

    def put_last(self, file: Path, name: str, seen: Content | None) -> None:
        del seen  # on one disk, leases keep writers apart
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

    def surveyed(self, prefixes: Sequence[str]) -> AbstractContextManager[None]:
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
        """Yield a handle of the folder of a file, and what the file is called in it."""
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
        for name, told in self._entries(folder):
            path = f"{folder}/{name}" if folder else name
            if not name.startswith(start) or (name.startswith(".") and not start):
                continue
            if stat.S_ISDIR(told.st_mode):
                yield from self._walk(path)
            else:
                # A link counts as empty, which no file of ours is.
                size = told.st_size if stat.S_ISREG(told.st_mode) else 0
                yield FoundFile(path, size, told.st_mtime, _version(told))

    def _entries(self, folder: str) -> list[tuple[str, os.stat_result]]:
        """Return what is in a folder; nothing if it is not there, or only a link to one."""
        parts = folder.split("/") if folder else []
        with disk_errors(self.location / folder):
            try:
                with open_folder(self.location, *parts) as handle:
                    names = sorted(os.listdir(handle))  # noqa: PTH208 - of a handle
                    found = [(name, _look(name, handle)) for name in names]
            except FileNotFoundError:
                return []
            except OSError as exc:
                if parts and exc.errno in (errno.ELOOP, errno.ENOTDIR):
                    return []
                raise
        return [(name, told) for name, told in found if told]


def _write(name: str, data: bytes, folder: int) -> None:
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _version(status: os.stat_result) -> str:
    # Every write makes a new inode. No tool of backups can restore the time of its last change.
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _look(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
