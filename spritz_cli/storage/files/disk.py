"""Helpers for files on a disk: digests, rights, durability, folders opened without links."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypedDict

from spritz_cli.errors import StorageError

_CHUNK = 1 << 20

#: Films are public: a web server must be able to enter their folders.
_PUBLIC = 0o755


class FileRecord(TypedDict):
    """The record that a sidecar keeps of each file beside it."""

    bytes: int
    sha256: str


class Readable(Protocol):
    """An open file, or the body of an answer."""

    def read(self, size: int = ..., /) -> bytes: ...


def measure(path: Path) -> FileRecord:
    """Return the size and SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return measure_pieces(file)


def measure_pieces(file: Readable) -> FileRecord:
    """Return the size and SHA-256 of everything left to read."""
    digest, length = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        length += len(chunk)
    return {"bytes": length, "sha256": digest.hexdigest()}


def seal(path: Path) -> None:
    """Make a finished file durable, and read-only for everybody."""
    with rights_if_any():
        path.chmod(0o444)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def rights_if_any() -> Iterator[None]:
    """Ignore the refusal of a file system that has no rights, such as a mounted bucket."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise


def sync_folder(handle: int) -> None:
    """Make files and folders durable that were created in a folder or renamed into it."""
    try:
        os.fsync(handle)
    except OSError as exc:
        # Some network file systems do not support it: they write through.
        if exc.errno != errno.EINVAL:
            raise


def create_public_folder(path: Path) -> None:
    """Create a folder that everybody may enter, whatever the umask, and its parents as usual."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return
    with rights_if_any():
        path.chmod(path.stat().st_mode | _PUBLIC)


@contextmanager
def open_folder(root: Path, *names: str, create: bool = False) -> Iterator[int]:
    """Yield a handle of the folder `root/names…`; OSError if one of them is a symbolic link."""
    if create:
        create_public_folder(root)
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for name in names:
            opened.append(_step(name, opened[-1], create=create))
        yield opened[-1]
    finally:
        for handle in opened:
            os.close(handle)


def is_real_folder(path: Path) -> bool:
    """Whether `path` is a folder, not a symbolic link to one."""
    return path.is_dir() and not path.is_symlink()


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Translate every OSError into a StorageError with a hint."""
    try:
        yield
    except OSError as exc:
        hint = _HINTS.get(exc.errno or 0, "Check the disk below the videos directory.")
        raise StorageError(f"{_path(exc, where)}: {exc.strerror}", hint=hint) from exc


def _step(name: str, parent: int, *, create: bool) -> int:
    created = create and _create(name, parent)
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    # Nothing in hidden folders is public.
    if created and not name.startswith("."):
        with rights_if_any():
            os.fchmod(handle, os.fstat(handle).st_mode | _PUBLIC)
    return handle


def _create(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    sync_folder(parent)
    return True


def _path(exc: OSError, where: Path) -> Path:
    # Names are relative to a folder handle, and only `where` knows its path.
    return where / os.fsdecode(exc.filename) if isinstance(exc.filename, str | bytes) else where


_FULL = "Free some space (`vidgen cleanup` removes old films), then run the same command again."
_RIGHTS = (
    "Give this user the right to write there, or choose another folder with VIDGEN_VIDEOS_DIR."
)
_LINK = "A symbolic link or a file stands where vidgen keeps a folder: remove it."
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: "The disk is read-only: choose another folder with VIDGEN_VIDEOS_DIR.",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ELOOP: _LINK,
    errno.ENOTDIR: _LINK,
    errno.EEXIST: _LINK,
    errno.EXDEV: "Films must be made in a scratch directory of the store itself.",
}
