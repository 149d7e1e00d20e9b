"""Watching a run: bars on a terminal, one line per finished film anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, cast

from spritz_cli.cli import console
from spritz_cli.cli.hangup import Forgiving
from spritz_cli.cli.units import counted, span
from spritz_cli.errors import StorageError
from spritz_cli.models import Outcome

if TYPE_CHECKING:
    from spritz_cli.runs.common import Event, Standing

#: On fewer columns the bars are short, to leave room for the names.
NARROW = 60

#: The share that must be made before the time left can be estimated.
ENOUGH_TO_ESTIMATE = 0.03


class Watch(AbstractContextManager["Watch"], Protocol):
    """Shows a run while it goes on."""

    tally: Tally

    def handle(self, event: Event | Standing) -> None: ...


def watch(films: Mapping[str, float]) -> Watch:
    """Return the view for this terminal; `films` maps each name to its length in seconds."""
    tally = Tally(films)
    shown = console.interactive(sys.stderr) and not console.QUIET.get()
    return LiveWatch(tally) if shown else PlainWatch(tally)


class Tally:
    """How far a run is: films done, and the share of film seconds that is made."""

    def __init__(
        self, films: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._films = films
        self._clock = clock
        self._shares: dict[str, float] = {}
        #: When each film was first seen, and how far it was: another run may have begun it.
        self._begun: dict[str, tuple[float, float]] = {}
        self._done: set[str] = set()
        self._started = clock()

    @property
    def total(self) -> int:
        return len(self._films)

    @property
    def done(self) -> int:
        return len(self._done)

    @property
    def share(self) -> float:
        whole = sum(self._films.values())
        return self._seconds(self._shares) / whole if whole else 1.0

    def progress(self, name: str, share: float) -> None:
        self._shares[name] = share = min(1.0, max(0.0, share))
        self._begun.setdefault(name, (self._clock(), share))

    def finish(self, outcome: Outcome) -> None:
        self._shares[outcome.name] = 1.0
        self._done.add(outcome.name)
        if outcome.status not in ("made", "joined"):
            # It took no time, or not the time of a film: it says nothing about the pace.
            self._begun[outcome.name] = (self._clock(), 1.0)

    def seconds_left(self) -> float | None:
        """Estimate from the pace so far; None until enough is made.

        A run lasts at least as long as the slowest film that is being made.
        """
        given = {name: share for name, (_, share) in self._begun.items()}
        whole, made = sum(self._films.values()), self._seconds(self._shares)
        gained = made - self._seconds(given)
        if gained < ENOUGH_TO_ESTIMATE * whole:
            return None
        elapsed = self._clock() - self._started
        return max(elapsed * (whole - made) / gained, *map(self._film_seconds_left, given))

    def _film_seconds_left(self, name: str) -> float:
        since, begun = self._begun[name]
        gained = self._shares[name] - begun
        if gained < ENOUGH_TO_ESTIMATE:
            return 0.0
        return (self._clock() - since) * (1 - self._shares[name]) / gained

    def _seconds(self, shares: Mapping[str, float]) -> float:
        return sum(self._films.get(name, 0.0) * share for name, share in shares.items())


def result_line(outcome: Outcome) -> str:
    """Say in one line what became of a film."""
    if outcome.status == "failed":
        return f"FAILED {outcome.name}: {outcome.error or 'no reason given'}"
    if outcome.status == "busy":
        return f"busy {outcome.name}: another run is making it"
    if outcome.status == "renewed":
        return f"renewed {outcome.name}: {outcome.reason or 'it was there'}"
    if outcome.status == "joined":
        return f"joined {outcome.name}: another run made it"
    if outcome.status == "unchanged" or outcome.video is None:
        return f"kept {outcome.name}: it is up to date"
    length = span(outcome.video.duration_seconds or 0.0)
    tier = outcome.video.fallback_used
    return f"made {outcome.name} {tier} {length} film in {span(outcome.seconds)}"


def standing_line(standing: Standing) -> str:
    """Say who works and what waits: 2 workers, 3 films wait for a worker."""
    workers = counted(standing.workers, "worker") if standing.workers else "no worker yet"
    parts = [workers]
    if standing.for_worker:
        waiting = counted(standing.for_worker, "film waits", "films wait")
        parts.append(f"{waiting} for a worker")
    if standing.for_others:
        waiting = counted(standing.for_others, "film waits", "films wait")
        parts.append(f"{waiting} for another run")
    return ", ".join(parts)


def shortened(name: str, room: int) -> str:
    """Fit PERSONA/TOPIC into `room` letters; the topic is what tells films apart."""
    persona, _, topic = name.partition("/")
    if len(name) <= room:
        return name
    letters = room - len(f"…/{topic}")
    return f"{persona[:letters]}…/{topic}" if letters > 0 else topic


class PlainWatch:
    """One line for each finished film: for logs, pipes and NO_COLOR; none with --quiet."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._unread = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def handle(self, event: Event | Standing) -> None:
        outcome: Outcome | None = getattr(event, "outcome", None)
        if outcome is None:
            return
        self.tally.finish(outcome)
        self._note(f"{result_line(outcome)} [{self.tally.done}/{self.tally.total}]")

    def _note(self, line: str) -> None:
        # The run goes on when its reader goes away or its terminal is closed.
        try:
            if not self._unread:
                console.note(line)
        except (console.OutputClosed, StorageError):
            self._unread = True


class LiveWatch:
    """A bar for the run, one for each film at work, and a line about those that wait.

    It disappears when the run ends.
    """

    def __init__(self, tally: Tally) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column
        from rich.text import Text

        self.tally = tally
        screen = console.rich_console(cast(TextIO, Forgiving(sys.stderr)))
        bar = 1 if screen.width < NARROW else 2
        self._room = (screen.width - 2) * 3 // (5 + bar)
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=3)),
            BarColumn(
                None, complete_style="cyan", finished_style="green", table_column=Column(ratio=bar)
            ),
            TextColumn("{task.fields[status]}", table_column=Column(no_wrap=True, ratio=2)),
            console=screen,
            expand=True,
        )
        self._foot = Text("", style="dim", no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bars, self._foot), console=screen, transient=True)
        self._run = self._bars.add_task(self._films_done(), total=1.0, status="")
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def handle(self, event: Event | Standing) -> None:
        from spritz_cli.runs.common import Event

        if isinstance(event, Event):
            self._follow(event)
        else:
            self._foot.plain = standing_line(event)
        # Also when only the time has changed.
        self._bars.update(
            self._run,
            completed=self.tally.share,
            description=self._films_done(),
            status=self._time_left(),
        )

    def _follow(self, event: Event) -> None:
        name = event.template.name
        if event.outcome is not None:
            self._close(name, event.outcome)
        elif event.kind != "queued":
            self.tally.progress(name, event.progress)
            self._show(name, event.progress, event.stage)

    def _show(self, name: str, share: float, stage: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(
                shortened(name, self._room), total=1.0, status=""
            )
        self._bars.update(self._tasks[name], completed=share, status=stage)

    def _close(self, name: str, outcome: Outcome) -> None:
        self.tally.finish(outcome)
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if outcome.status in ("failed", "busy"):
            self._live.console.print(result_line(outcome))

    def _films_done(self) -> str:
        return f"{self.tally.done}/{counted(self.tally.total, 'film')}"

    def _time_left(self) -> str:
        left = self.tally.seconds_left()
        if left is None or left < 1:
            return ""
        return f"{left:.0f} s left" if left < 59.5 else f"{span(left)} left"
