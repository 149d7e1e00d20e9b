"""Starts processes that tests can find later, with all their descendants."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parent.parent


@dataclass
class Family:
    """Processes with a mark in their environment; descendants inherit it."""

    mark: str = field(default_factory=lambda: f"TEST_FAMILY={uuid.uuid4().hex}")

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start Python in a new session: SIGINT to its process group is like Ctrl-C."""
        name, _, value = self.mark.partition("=")
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, name: value, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def alive(self, named: str = "") -> dict[int, str]:
        """Return pid and command line of the living members whose command contains `named`."""
        members = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if self.mark.encode() in environment and named in command:
                members[int(folder.name)] = command
        return members


def wait_until(look: Callable[[], T], seconds: float = 60.0) -> T:
    """Call `look` until it returns a true value, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value
