"""A retry policy: the pauses between attempts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """One further attempt after each of `pauses`, in seconds; `sleep` waits."""

    pauses: tuple[float, ...]
    sleep: Callable[[float], None] = time.sleep

    @property
    def attempts(self) -> int:
        """The greatest number of attempts."""
        return len(self.pauses) + 1

    def call(
        self,
        attempt: Callable[[], T],
        again: type[Exception] | tuple[type[Exception], ...],
    ) -> T:
        """Call `attempt` until it returns; retry on the errors in `again`, raise the last one."""
        for pause in self.pauses:
            try:
                return attempt()
            except again:
                self.sleep(pause)
        return attempt()


#: After the encoder or the process of a film was killed: the pauses let memory recover.
AFTER_A_KILL = Retries((1.0, 4.0))
