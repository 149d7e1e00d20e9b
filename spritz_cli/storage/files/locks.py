"""File locks: the kernel frees them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spritz_cli.errors import InfrastructureError

#: How long to wait for another process that should be done soon, in seconds.
PATIENCE = 30.0

_PAUSE = 0.003


def open_lock(path: Path) -> int:
    """Return a handle of the lock file, which holds nothing yet."""
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)


def take_lock(path: Path, kind: int) -> int:
    """Return a handle that holds the lock; waits for it, but not for ever."""
    handle = open_lock(path)
    try:
        for _ in until(PATIENCE):
            if try_lock(handle, kind):
                return handle
        raise InfrastructureError(
            f"another process holds {path} for more than {PATIENCE:.0f} s",
            hint="End the vidgen process that hangs, then try again.",
        )
    except BaseException:
        os.close(handle)
        raise


@contextmanager
def held(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock for the length of a `with` block."""
    handle = take_lock(path, kind)
    try:
        yield
    finally:
        os.close(handle)


def try_lock(handle: int, kind: int) -> bool:
    """Whether the lock could be had at once; it lasts until the handle is closed."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def until(seconds: float) -> Iterator[None]:
    """Go round every few milliseconds until the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(_PAUSE)
