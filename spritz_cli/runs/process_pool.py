"""`--sync`: a pool of child processes that makes the films of a run, without RQ.

Not the standard library's pool: that fails every film when one process is killed,
and goes on to the next film when a process is asked to stop.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from spritz_cli.bootstrap import Services, import_ahead, open_services
from spritz_cli.errors import InfrastructureError, VidgenError
from spritz_cli.films.generate import generate_video
from spritz_cli.films.planning import PlanItem
from spritz_cli.models import Outcome, Template
from spritz_cli.retries import AFTER_A_KILL
from spritz_cli.runs.common import (
    OnEvent,
    Progress,
    Standing,
    ignore,
    in_order,
    pool_size,
    settle_without_rendering,
    withdraw_unfinished,
)
from spritz_cli.runs.parent_death import die_with_parent
from spritz_cli.runs.signals import postponed, uninterrupted
from spritz_cli.settings import Settings

POLL_SECONDS = 0.2
#: A film that another run is making is tried again after this time.
BUSY_SECONDS = 0.5
STOP_SECONDS = 5.0
MAX_ATTEMPTS = AFTER_A_KILL.attempts
#: The run gives up after this many killed processes.
MAX_DEATHS = 3 * MAX_ATTEMPTS

_spawn = get_context("spawn")


def warm(
    services: Services,
    items: Sequence[PlanItem],
    *,
    workers: int | None = None,
    on_event: OnEvent = ignore,
) -> list[Outcome]:
    """Make every film of the plan in child processes; outcomes in the plan's order.

    On KeyboardInterrupt it stops them, removes their leases and scratch files, and
    raises it again.
    """
    outcomes = settle_without_rendering(services, items, on_event)
    rest = in_order(item for item in items if item.template.name not in outcomes)
    if rest:
        size = min(workers or pool_size(rest), len(rest))
        with _Pool(services, size, on_event) as pool:
            outcomes |= pool.make(rest)
    return [outcomes[item.template.name] for item in items]


@dataclass
class _Child:
    """One child process and the film it is making."""

    process: BaseProcess
    pipe: Connection
    item: PlanItem | None = None

    @property
    def film(self) -> Template | None:
        return self.item.template if self.item else None


@dataclass(frozen=True)
class _ChildError:
    """An InfrastructureError of a child process, sent to the run."""

    kind: type[InfrastructureError]
    message: str
    hint: str


class _Pool:
    """The child processes of a run and the films that are left to make."""

    def __init__(self, services: Services, size: int, on_event: OnEvent) -> None:
        self._services = services
        self._size = size
        self._progress = Progress(services.leases, on_event)
        self._children: list[_Child] = []
        self._left: deque[tuple[float, PlanItem]] = deque()
        self._outcomes: dict[str, Outcome] = {}
        self._deaths: Counter[str] = Counter()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._close()

    def make(self, items: Sequence[PlanItem]) -> dict[str, Outcome]:
        for item in items:
            self._left.append((0.0, item))
            self._progress.queued(item.template)
        while len(self._outcomes) < len(items):
            self._hand_out()
            self._listen()
            self._progress.poll()
            self._progress.standing(self._standing())
        return self._outcomes

    def _standing(self) -> Standing:
        # Only a film that another run is making has a time before which it is not tried.
        busy = sum(1 for at, _ in self._left if at)
        return Standing(len(self._children), len(self._left) - busy, busy)

    def _hand_out(self) -> None:
        """Give a film to each idle child."""
        self._fill()
        for child in self._children:
            if child.item is None and (item := self._next()):
                child.item = item
                _send(child, item)

    def _fill(self) -> None:
        at_work = sum(1 for child in self._children if child.item)
        wanted = min(self._size, at_work + len(self._left))
        while len(self._children) < wanted:
            # A signal between the start and the append would leave a child that nobody stops.
            with postponed():
                self._children.append(_start(self._services))

    def _next(self) -> PlanItem | None:
        if not self._left or self._left[0][0] > time.monotonic():
            return None
        return self._left.popleft()[1]

    def _listen(self) -> None:
        """Wait a moment for answers; a pipe that closes means that its child died."""
        pipes = {child.pipe: child for child in self._children}
        for pipe in wait(list(pipes), POLL_SECONDS):
            child = pipes[pipe]  # type: ignore[index]
            try:
                self._receive(child, child.pipe.recv())
            except (EOFError, OSError):
                self._died(child)

    def _receive(self, child: _Child, answer: Outcome | _ChildError) -> None:
        item, child.item = child.item, None
        if isinstance(answer, _ChildError):
            raise answer.kind(answer.message, hint=answer.hint)
        if item is None:
            return
        if answer.status == "busy":
            self._left.append((time.monotonic() + BUSY_SECONDS, item))
        else:
            self._finish(item.template, answer)

    def _died(self, child: _Child) -> None:
        child.process.join(STOP_SECONDS)
        self._children.remove(child)
        self._deaths[child.film.name if child.film else ""] += 1
        cause = _cause(child.process.exitcode)
        if self._deaths.total() >= MAX_DEATHS:
            raise InfrastructureError(
                f"{self._deaths.total()} render processes ended early: {cause}",
                hint="Try fewer at a time: --workers 1.",
            )
        if child.item is not None:
            self._try_again(child.item, cause)

    def _try_again(self, item: PlanItem, cause: str) -> None:
        """Queue the film of a dead process again, last, when fewer processes need memory."""
        template = item.template
        self._services.leases.release_dead([template.key])
        if self._deaths[template.name] < MAX_ATTEMPTS:
            self._left.append((0.0, item))
        else:
            self._give_up(template, f"its process ended early {MAX_ATTEMPTS} times: {cause}")

    def _give_up(self, template: Template, error: str) -> None:
        manifest = self._services.manifest
        manifest.withdraw_abandoned([template.key], self._services.leases)
        video = manifest.peek(template.persona, template.topic)
        failed = Outcome(template.persona, template.topic, "failed", video, error=error)
        self._finish(template, failed)

    def _finish(self, template: Template, outcome: Outcome) -> None:
        self._outcomes[template.name] = outcome
        self._progress.done(template, outcome)

    def _close(self) -> None:
        """Stop all children: idle ones at once, busy ones by a signal on which they clean up."""
        for child in self._children:
            child.pipe.close()
            if child.film is None:
                child.process.kill()
            else:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            _end(child.process, deadline)
        films = [*(child.film for child in self._children if child.film), *self._retried()]
        withdraw_unfinished(self._services, [film.key for film in films])
        self._services.store.sweep()

    def _retried(self) -> list[Template]:
        waiting = (item.template for _, item in self._left)
        return [template for template in waiting if self._deaths[template.name]]


def _start(services: Services) -> _Child:
    ours, theirs = _spawn.Pipe()
    # The child only connects to an embedded server; this process keeps it alive.
    settings = replace(services.settings, redis_url=services.redis.url)
    process = _spawn.Process(
        target=_work, args=(settings, theirs, os.getpid()), daemon=True, name="vidgen-film"
    )
    # Starting the tracker resets the signal mask, so it must happen before the mask is set.
    resource_tracker.ensure_running()
    # The terminal signals the whole process group: a child must not get Ctrl-C or a
    # hangup, not even while it starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Child(process, ours)


def _send(child: _Child, item: PlanItem) -> None:
    # If the child died, `_listen` finds its pipe closed.
    with suppress(OSError):
        child.pipe.send(item)


def _end(process: BaseProcess, deadline: float) -> None:
    process.join(max(0.0, deadline - time.monotonic()))
    if process.is_alive():
        process.kill()
        process.join()


def _cause(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "it was killed, perhaps because the machine ran out of memory"
    return f"exit code {exitcode}"


def _work(settings: Settings, pipe: Connection, parent: int) -> None:
    """Main function of a child: make the films that come through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent, signal.SIGTERM)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _make_films(settings, pipe)


def _make_films(settings: Settings, pipe: Connection) -> None:
    try:
        with open_services(settings, patience="long", ping=False) as services:
            import_ahead()
            # Before the first film there is nothing to clean up, so SIGTERM may kill until here.
            signal.signal(signal.SIGTERM, _leave)
            while True:
                pipe.send(_answer(services, pipe.recv()))
    except InfrastructureError as exc:
        pipe.send(_child_error(exc))


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _answer(services: Services, item: PlanItem) -> Outcome | _ChildError:
    try:
        return generate_video(services.studio, item)
    except InfrastructureError as exc:
        return _child_error(exc)
    except VidgenError as exc:
        template = item.template
        return Outcome(template.persona, template.topic, "failed", error=exc.message)


def _child_error(exc: InfrastructureError) -> _ChildError:
    return _ChildError(type(exc), exc.message, exc.hint)
