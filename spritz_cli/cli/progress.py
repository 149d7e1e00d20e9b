"""Watching a run: bars on a terminal, one line per finished film anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from spritz_cli.cli import console
from spritz_cli.cli.words import counted, span
from spritz_cli.models import Outcome

if TYPE_CHECKING:
    from spritz_cli.runs import Event

#: On fewer columns the bars give way to the names.
NARROW = 60

#: Below this share the time left would be a guess.
ENOUGH_TO_TELL = 0.03


class Watch(AbstractContextManager["Watch"], Protocol):
    """Shows a run while it goes on."""

    tally: Tally

    def handle(self, event: Event) -> None: ...


def watch(films: Mapping[str, float]) -> Watch:
    """Return the view for this terminal; `films` maps each name to its length in seconds."""
    tally = Tally(films)
    return LiveWatch(tally) if console.interactive(sys.stderr) else PlainWatch(tally)


class Tally:
    """How far a run is: films done, and the share of film seconds that is made."""

    def __init__(self, films: Mapping[str, float]) -> None:
        self._films = films
        self._shares: dict[str, float] = {}
        self._done: set[str] = set()
        self._started = time.monotonic()

    @property
    def total(self) -> int:
        return len(self._films)

    @property
    def done(self) -> int:
        return len(self._done)

    @property
    def share(self) -> float:
        whole = sum(self._films.values())
        made = sum(self._films.get(name, 0.0) * part for name, part in self._shares.items())
        return made / whole if whole else 1.0

    def progress(self, name: str, share: float) -> None:
        self._shares[name] = min(1.0, max(0.0, share))

    def finish(self, outcome: Outcome) -> None:
        self._shares[outcome.name] = 1.0
        self._done.add(outcome.name)

    def seconds_left(self) -> float | None:
        """Guess from the pace so far; None until there is something to go by."""
        if self.share < ENOUGH_TO_TELL:
            return None
        elapsed = time.monotonic() - self._started
        return elapsed * (1 - self.share) / self.share


def result_line(outcome: Outcome) -> str:
    """Describe what became of one film."""
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


def shortened(name: str, room: int) -> str:
    """Fit PERSONA/TOPIC into `room` letters; the topic is what tells films apart."""
    persona, _, topic = name.partition("/")
    if len(name) <= room:
        return name
    letters = room - len(f"…/{topic}")
    return f"{persona[:letters]}…/{topic}" if letters > 0 else topic


class PlainWatch:
    """One line for each film when it is done: for logs, pipes and NO_COLOR."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def handle(self, event: Event) -> None:
        if event.outcome is None:
            return
        self.tally.finish(event.outcome)
        note = f"[{self.tally.done}/{self.tally.total}]"
        console.note(f"{result_line(event.outcome)} {note}")


class LiveWatch:
    """A bar for the run and one for each film that is being made; gone when it ends."""

    def __init__(self, tally: Tally) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self.tally = tally
        screen = console.rich_console(sys.stderr)
        bar = 1 if screen.width < NARROW else 2
        self._room = (screen.width - 2) * 3 // (5 + bar)
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=3)),
            BarColumn(
                None, complete_style="cyan", finished_style="green", table_column=Column(ratio=bar)
            ),
            TextColumn("{task.fields[status]}", table_column=Column(no_wrap=True, ratio=2)),
            console=screen,
            transient=True,
            expand=True,
        )
        self._run = self._bars.add_task(self._films_done(), total=1.0, status="")
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def handle(self, event: Event) -> None:
        name = event.template.name
        if event.outcome is not None:
            self._close(name, event.outcome)
        elif event.kind != "queued":
            self.tally.progress(name, event.progress)
            self._show(name, event.progress, event.stage)
        self._bars.update(
            self._run,
            completed=self.tally.share,
            description=self._films_done(),
            status=self._time_left(),
        )

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
            self._bars.console.print(result_line(outcome))

    def _films_done(self) -> str:
        return f"{self.tally.done}/{counted(self.tally.total, 'film')}"

    def _time_left(self) -> str:
        left = self.tally.seconds_left()
        if left is None or left < 1:
            return ""
        return f"{left:.0f} s left" if left < 59.5 else f"{span(left)} left"
