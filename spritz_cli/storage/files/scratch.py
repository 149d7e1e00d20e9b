"""Scratch directories that show whether their owner is alive."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spritz_cli.storage.files.disk import disk_errors, is_real_folder
from spritz_cli.storage.files.locks import held, take_lock, try_lock


class ScratchFolders:
    """Hands out folders `root/<uuid>/`, each with a `.lock` that its owner holds until it dies.

    `prepare` is called before `root` is created.
    """

    def __init__(self, root: Path, prepare: Callable[[], None] = lambda: None) -> None:
        self._root = root
        self._prepare = prepare

    @contextmanager
    def new(self) -> Iterator[Path]:
        """Yield an empty directory; it is removed after the block."""
        with disk_errors(self._root):
            scratch, lock = self._claim()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(lock)

    def abandoned(self) -> list[Path]:
        """Return the directories whose owner is dead."""
        with self._sweeping():
            return self._find()

    def sweep(self) -> list[Path]:
        """Remove the directories whose owner is dead, and return those that are gone."""
        with self._sweeping():
            abandoned = self._find()
            for folder in abandoned:
                shutil.rmtree(folder, ignore_errors=True)
            return [folder for folder in abandoned if not folder.exists()]

    def _claim(self) -> tuple[Path, int]:
        self._prepare()
        self._root.mkdir(parents=True, exist_ok=True)
        if self._root.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._root))
        with self._creating_or_sweeping(fcntl.LOCK_SH):
            scratch = self._root / uuid.uuid4().hex
            scratch.mkdir()
            return scratch, take_lock(scratch / ".lock", fcntl.LOCK_EX)

    def _find(self) -> list[Path]:
        if not is_real_folder(self._root):
            return []
        return [folder for folder in sorted(self._root.iterdir()) if _is_abandoned(folder)]

    @contextmanager
    def _sweeping(self) -> Iterator[None]:
        if not is_real_folder(self._root):
            yield
            return
        with disk_errors(self._root), self._creating_or_sweeping(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _creating_or_sweeping(self, kind: int) -> Iterator[None]:
        # Shared for creating a directory with its lock, exclusive for sweeping: a sweep never
        # sees a new directory whose lock is not held yet.
        with held(self._root / ".lock", kind):
            yield


def _is_abandoned(folder: Path) -> bool:
    if not is_real_folder(folder):
        return False
    try:
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        return try_lock(lock, fcntl.LOCK_EX)
    finally:
        os.close(lock)
