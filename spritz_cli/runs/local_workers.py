"""RQ workers on this machine, as child processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from spritz_cli.errors import InfrastructureError
from spritz_cli.runs.signals import postponed
from spritz_cli.settings import PACKAGE, Settings

#: What a worker ends its film and puts it back on; SIGTERM lets it finish first.
STOP_AT_ONCE = signal.SIGUSR1

#: So many workers that died so young show that the next will not fare better.
MAX_EARLY_DEATHS = 3
EARLY_SECONDS = 10.0

#: The log is started anew by the run that finds it larger than this.
LOG_BYTES = 1_000_000


class LocalWorkers:
    """Starts `count` workers, replaces those that die, and leaves none behind.

    Without a log file they write to this process's stderr. Each is in a session
    of its own, so that Ctrl-C and a closed terminal reach only the run. The names
    of these workers in RQ end in `tag` and something of their own.
    """

    def __init__(
        self, settings: Settings, redis_url: str, *, log: Path | None = None, burst: bool = False
    ) -> None:
        self._environment = _environment(settings, redis_url)
        self._log = log
        self._burst = burst
        self.tag = uuid.uuid4().hex[:8]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = 0.0
        self._early_deaths = 0

    @property
    def running(self) -> int:
        """How many live."""
        return sum(1 for process in self._processes if process.poll() is None)

    def started(self, name: str) -> bool:
        """Whether the worker that RQ knows by this name is one of these."""
        return name.rpartition(":")[2].startswith(self.tag)

    def start(self, count: int) -> None:
        """Bring the number of living workers to `count`."""
        self._bury()
        missing = count - len(self._processes)
        if missing <= 0:
            return
        self._started = time.monotonic()
        # In between, they would be workers that nobody knows and ends.
        with self._output() as output, postponed():
            self._processes += [self._spawn(output) for _ in range(missing)]

    def finish(self) -> None:
        """Have all end with the films that they are at."""
        for process in self._processes:
            process.terminate()

    def wait(self) -> int:
        """Wait until all have ended (burst, or told to finish); return the worst exit code."""
        return max((_code(process.wait()) for process in self._processes), default=0)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """End all at once: politely, so that they put their jobs back, then by force."""
        for process in self._processes:
            process.send_signal(STOP_AT_ONCE)
        deadline = time.monotonic() + grace_seconds
        for process in self._processes:
            _end(process, deadline)
        self._processes.clear()

    def _bury(self) -> None:
        dead = [process for process in self._processes if process.poll() is not None]
        self._processes = [process for process in self._processes if process not in dead]
        if dead and time.monotonic() - self._started < EARLY_SECONDS:
            self._early_deaths += 1
        if dead and self._early_deaths >= MAX_EARLY_DEATHS:
            where = f"Read {self._log}" if self._log else "Read what they wrote above"
            raise InfrastructureError(
                f"the workers end as soon as they start (exit code {dead[-1].returncode})",
                hint=f"{where}, or use `vidgen warm --sync`.",
            )

    def _spawn(self, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "spritz_cli.runs.worker"]
        command += ["--parent", str(os.getpid()), "--tag", self.tag]
        return subprocess.Popen(
            [*command, "--burst"] if self._burst else command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    @contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        if self._log is None:
            yield None
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        too_long = self._log.exists() and self._log.stat().st_size > LOG_BYTES
        with self._log.open("wb" if too_long else "ab") as file:
            yield file


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        # Its session holds the film in the making and that film's ffmpeg only if
        # they are in its process group; those that are not watch for its death.
        _kill_group(process.pid)
        process.wait()


def _code(returned: int) -> int:
    """Read how a process ended; told to stop before it could listen, it did as it was told."""
    return 0 if -returned in (signal.SIGTERM, STOP_AT_ONCE) else abs(returned)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _environment(settings: Settings, redis_url: str) -> dict[str, str]:
    # The checkout need not be installed for its workers to find it.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    own = settings.environment() | {"REDIS_URL": redis_url, "PYTHONPATH": path}
    return os.environ | own
