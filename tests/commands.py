"""vidgen as its users meet it: processes in a project of their own, with pipes or a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import documents
from tests.processes import ROOT, Family


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return documents.read(self.out)


class Project:
    """A folder with a small catalog, in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.family = Family()

    def vidgen(self, *arguments: str, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "spritz_cli", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=100,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str, **environment: str) -> Answer:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment(**environment, PYTHON=sys.executable),
            capture_output=True,
            text=True,
            timeout=100,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def environment(self, **changes: str) -> dict[str, str]:
        name, _, value = self.family.mark.partition("=")
        terminal = {"TERM": "xterm-256color", "NO_COLOR": ""}
        return {**os.environ, **terminal, name: value, "PYTHONPATH": str(ROOT), **changes}

    @contextmanager
    def terminal(self, *arguments: str, columns: int = 100, **environment: str) -> Iterator[Screen]:
        """Run a command on a terminal of its own."""
        pid, screen = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            command = [sys.executable, "-m", "spritz_cli", *arguments]
            os.execve(sys.executable, command, self.environment(**environment))
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        shown = Screen(pid, screen)
        try:
            yield shown
        finally:
            shown.close()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@dataclass
class Screen:
    pid: int
    handle: int
    text: str = ""
    closed: bool = False

    def close(self) -> None:
        """Take the terminal away, as closing its window does."""
        if not self.closed:
            os.close(self.handle)
        self.closed = True

    def read(self) -> str:
        """Read to the end and return everything that was shown."""
        while data := self._next():
            self.text += data
        return self.text

    def wait_for(self, words: str) -> None:
        while words not in self.text:
            data = self._next()
            assert data, f"{words!r} never appeared in {self.text!r}"
            self.text += data

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _next(self) -> str:
        try:
            return os.read(self.handle, 65536).decode(errors="replace")
        except OSError:
            return ""
