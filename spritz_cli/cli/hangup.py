"""Commands that go on when their terminal is closed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """When the terminal closes (SIGHUP), go on without it; redirected output is still written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Now, because isatty() is false once the terminal is gone.
    shown = [stream.fileno() for stream in (sys.stdout, sys.stderr) if _is_terminal(stream)]
    # Also where SIGHUP was ignored, as under nohup: writing to a closed terminal would fail.
    before = signal.signal(signal.SIGHUP, lambda *_: _silence(shown))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


class Forgiving:
    """A stream to a terminal that may vanish; what is written after that is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone = False

    def write(self, text: str) -> int:
        self._forgive(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._forgive(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _forgive(self, act: Callable[[], object]) -> None:
        try:
            if not self.gone:
                act()
        except OSError:
            self.gone = True


def _is_terminal(stream: TextIO) -> bool:
    with suppress(OSError, ValueError):
        return os.isatty(stream.fileno())
    return False


def _silence(handles: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in handles:
        os.dup2(nowhere, handle)
    os.close(nowhere)
