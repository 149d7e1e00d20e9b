"""File locks. The kernel frees them when their holder dies, for whatever reason."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spritz_cli.errors import InfrastructureError

#: Seconds to wait for another process that holds a lock.
PATIENCE = 30.0

_PAUSE = 0.003


def open_lock(path: Path) -> int:
    """Return a handle of the lock file that does not hold the lock yet."""
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)


def take_lock(path: Path, kind: int) -> int:
    """Return a handle that holds the lock; InfrastructureError after PATIENCE seconds."""
    handle = open_lock(path)
    try:
        for _ in until(PATIENCE):
            if try_lock(handle, kind):
                return handle
        raise InfrastructureError(
            f"another process has held {path} for more than {PATIENCE:.0f} s",
            hint="End the vidgen process that hangs, then try again.",
        )
    except BaseException:
        os.close(handle)
        raise


@contextmanager
def held(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock while the block runs."""
    handle = take_lock(path, kind)
    try:
        yield
    finally:
        os.close(handle)


def try_lock(handle: int, kind: int) -> bool:
    """Take the lock if it is free, until the handle is closed; False if it is not free."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def until(seconds: float) -> Iterator[None]:
    """Yield every few milliseconds until the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(_PAUSE)
