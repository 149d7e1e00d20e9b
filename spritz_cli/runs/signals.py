"""Signals: defer SIGINT, SIGTERM and SIGHUP around critical sections, kill a group."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore the three signals, for a short cleanup."""
    before = _handlers()
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def postponed() -> Iterator[None]:
    """Deliver the first of the three signals at the end; default actions still act at once."""
    before = {number: handler for number, handler in _handlers().items() if callable(handler)}
    received: list[int] = []
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        _restore(before)
        if received:
            signal.raise_signal(received[0])


def kill_group(pid: int) -> None:
    """Kill the process group of `pid`, if it is still there and ours."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _handlers() -> dict[signal.Signals, _Handler]:
    """Return the handlers; none outside the main thread, which alone may set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in _INTERRUPTIONS}


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
