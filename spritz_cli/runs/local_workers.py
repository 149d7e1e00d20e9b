"""RQ workers on this machine, as child processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from spritz_cli.errors import InfrastructureError
from spritz_cli.runs.signals import kill_group, postponed
from spritz_cli.settings import PACKAGE, Settings

#: On this signal a worker aborts its film and requeues the job; on SIGTERM it finishes first.
STOP_AT_ONCE = signal.SIGUSR1

#: After this many early deaths no further worker is started: it would die as well.
MAX_EARLY_DEATHS = 3
EARLY_SECONDS = 10.0

#: A log that is larger than this is truncated by the next run.
LOG_BYTES = 1_000_000


class LocalWorkers:
    """Starts workers, replaces those that die, and leaves none behind.

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
        """How many are alive."""
        return sum(1 for process in self._processes if process.poll() is None)

    def started(self, name: str) -> bool:
        """Whether the worker that RQ knows by this name is one of these."""
        return name.rpartition(":")[2].startswith(self.tag)

    def start(self, count: int) -> None:
        """Bring the number of living workers to `count`."""
        self._reap()
        missing = count - len(self._processes)
        if missing <= 0:
            return
        self._started = time.monotonic()
        # A signal between the start and the assignment would leave workers that nobody stops.
        with self._output() as output, postponed():
            self._processes += [self._spawn(output) for _ in range(missing)]

    def finish(self) -> None:
        """Let each worker finish its film and exit."""
        for process in self._processes:
            process.terminate()

    def wait(self) -> int:
        """Wait until all have exited (`finish` or burst mode); return the worst exit code."""
        return max((_code(process.wait()) for process in self._processes), default=0)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Stop all now: by a signal on which they requeue their jobs, then by SIGKILL."""
        for process in self._processes:
            process.send_signal(STOP_AT_ONCE)
        deadline = time.monotonic() + grace_seconds
        for process in self._processes:
            _end(process, deadline)
        self._processes.clear()

    def _reap(self) -> None:
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
        # A film that was just forked is still in the worker's group. Later it has a group
        # of its own, and watches for the death of its parent.
        kill_group(process.pid)
        process.wait()


def _code(returned: int) -> int:
    """Return an exit code; a process that a stop signal killed while starting counts as 0."""
    return 0 if -returned in (signal.SIGTERM, STOP_AT_ONCE) else abs(returned)


def _environment(settings: Settings, redis_url: str) -> dict[str, str]:
    # Workers of a checkout that is not installed must find the package.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    own = settings.environment() | {"REDIS_URL": redis_url, "PYTHONPATH": path}
    return os.environ | own
