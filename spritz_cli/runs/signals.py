"""Ctrl-C, a polite kill and a closed terminal, kept away from what must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let nobody interrupt the tidying up; it is short."""
    before = _handlers()
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def postponed() -> Iterator[None]:
    """Have an interruption wait until the end of this; what ends us or is ignored still does."""
    before = {number: handler for number, handler in _handlers().items() if callable(handler)}
    came: list[int] = []
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        _restore(before)
        if came:
            signal.raise_signal(came[0])


def _handlers() -> dict[signal.Signals, _Handler]:
    """Return who handles what; Python lets none but the main thread change it."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in _INTERRUPTIONS}


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
