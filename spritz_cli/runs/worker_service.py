"""`vidgen worker`: local workers that run until they are asked to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from spritz_cli.errors import INTERRUPTED_EXIT_CODE, RedisUnavailable, UsageError
from spritz_cli.runs.job_queue import JobQueue
from spritz_cli.runs.local_workers import LocalWorkers
from spritz_cli.settings import Settings

POLL_SECONDS = 0.2

#: Seconds between two health checks.
HEALTH_SECONDS = 2.0

#: Two stop signals within this many seconds count as one that came by two ways.
ONE_REQUEST_SECONDS = 0.5


def serve(
    settings: Settings,
    redis_url: str,
    count: int,
    *,
    burst: bool = False,
    health_file: Path | None = None,
    on_request: Callable[[], object] = lambda: None,
) -> int:
    """Keep `count` workers running; return the exit code of the worst.

    On SIGTERM, SIGINT or SIGHUP each worker finishes its film and exits, and
    `on_request` is called. On a second SIGTERM or SIGINT they requeue their jobs at
    once, and 130 is returned. With `burst` they exit when the queue is empty.
    """
    workers = LocalWorkers(settings, redis_url, burst=burst)
    with _Health(settings, redis_url, workers, health_file) as health, _Requests() as requests:
        try:
            workers.start(count)
            while not requests.urgent and (workers.running or not (burst or requests.made)):
                if requests.news():
                    on_request()
                    workers.finish()
                if not (burst or requests.made):
                    workers.start(count)
                health.look(workers.running)
                time.sleep(POLL_SECONDS)
            return INTERRUPTED_EXIT_CODE if requests.urgent else workers.wait()
        finally:
            workers.stop()


class _Requests:
    """Records stop signals instead of being interrupted by them."""

    def __init__(self) -> None:
        self.made = False
        self.urgent = False
        self._made_at = 0.0
        self._reported = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Ignored by the caller, by nohup for one: leave it so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def news(self) -> bool:
        """Return true once, after the first request."""
        reported, self._reported = self._reported, self.made
        return self.made and not reported

    def _note(self, number: int, _: FrameType | None) -> None:
        again = self.made and time.monotonic() - self._made_at > ONE_REQUEST_SECONDS
        # A closing terminal sends SIGHUP more than once.
        self.urgent |= again and number != signal.SIGHUP
        if not self.made:
            self.made, self._made_at = True, time.monotonic()


class _Health:
    """Touches a file while every worker is registered in Redis and alive."""

    def __init__(
        self, settings: Settings, redis_url: str, workers: LocalWorkers, file: Path | None
    ) -> None:
        self._queue = JobQueue(redis_url, settings.queue, patience="short")
        self._workers = workers
        self._file = file
        self._looked_at = 0.0

    def __enter__(self) -> Self:
        if self._file is not None:
            # A file left by an earlier process must not vouch for this one.
            with _usable(self._file):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.close()
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def look(self, expected: int) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked_at < HEALTH_SECONDS:
            return
        self._looked_at = now
        if self._alive() >= expected:
            with _usable(self._file):
                self._file.touch()

    def _alive(self) -> int:
        try:
            names = self._queue.live_workers()
        except RedisUnavailable:
            return -1
        return sum(1 for name in names if self._workers.started(name))


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UsageError(
            f"the health file {file} cannot be written: {exc.strerror}",
            hint="Choose another place with --health-file.",
        ) from exc
