"""How often something is tried again, and how long to wait before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """One more attempt after each of `pauses` (seconds); tests hand in another `sleep`."""

    pauses: tuple[float, ...]
    sleep: Callable[[float], None] = time.sleep

    @property
    def attempts(self) -> int:
        """How often something is tried at most."""
        return len(self.pauses) + 1

    def call(
        self,
        attempt: Callable[[], T],
        again: type[Exception] | tuple[type[Exception], ...],
    ) -> T:
        """Return what `attempt` returns; the last error of `again` is raised, any other at once."""
        for pause in self.pauses:
            try:
                return attempt()
            except again:
                self.sleep(pause)
        return attempt()
