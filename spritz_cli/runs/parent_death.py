"""End a process when its parent dies, even by SIGKILL."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.25


def die_with_parent(parent: int, signal_number: int) -> None:
    """Send this process `signal_number` as soon as its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    # The parent may be dead already, and only Linux has prctl.
    when_orphaned(parent, lambda: os.kill(os.getpid(), signal_number))


def when_orphaned(parent: int, act: Callable[[], object]) -> None:
    """Call `act` once, from a thread, when this process has lost its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        act()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
