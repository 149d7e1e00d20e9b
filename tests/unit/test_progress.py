"""The view of a run: what it tells of those that work and of those that wait."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from spritz_cli.cli.hangup import Forgiving
from spritz_cli.cli.progress import LiveWatch, PlainWatch, Tally, standing_line
from spritz_cli.models import Outcome
from spritz_cli.runs.common import Event, Standing
from spritz_cli.testing import sample_template


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


class Gone(io.StringIO):
    """Where a terminal was that has been closed."""

    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(0, 3), "no worker yet, 3 films wait for a worker"),
        (Standing(1, 1), "1 worker, 1 film waits for a worker"),
        (Standing(2, 0, 1), "2 workers, 1 film waits for another run"),
        (Standing(2), "2 workers"),
    ],
)
def test_it_says_who_works_and_what_waits_for_whom(standing: Standing, words: str) -> None:
    assert standing_line(standing) == words


def test_the_live_view_shows_workers_those_that_wait_and_what_is_being_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    template = replace(sample_template(), topic="goal_setting")
    with LiveWatch(Tally({template.name: 15.0, "other/film": 15.0})) as view:
        view.handle(Event(template, "queued"))
        view.handle(Standing(2, 1))
        view.handle(Event(template, "started", 0.1, "footage"))
    shown = terminal.getvalue()
    assert "2 workers, 1 film waits for a worker" in shown
    assert "goal_setting" in shown
    assert "footage" in shown


def test_elsewhere_than_on_a_terminal_only_finished_films_are_told(
    capsys: pytest.CaptureFixture,
) -> None:
    template = sample_template()
    with PlainWatch(Tally({template.name: 15.0})) as view:
        view.handle(Standing(2, 1))
        view.handle(Event(template, "started", 0.1, "drawing"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [LiveWatch, PlainWatch])
def test_a_terminal_that_vanishes_does_not_end_a_run(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = sample_template()
    monkeypatch.setattr("sys.stderr", Gone())
    outcome = Outcome(template.persona, template.topic, "failed", error="no ink")
    with kind(Tally({template.name: 15.0})) as view:
        view.handle(Event(template, "started", 0.1, "drawing"))
        view.handle(Event(template, "done", 1.0, outcome=outcome))
        view.handle(Event(template, "done", 1.0, outcome=outcome))
    assert view.tally.done == 1


def test_what_is_written_to_a_closed_terminal_is_lost_once_and_for_all() -> None:
    stream = Forgiving(Gone())
    assert stream.write("words") == 5
    assert stream.gone
    stream.flush()


def test_the_time_left_follows_from_the_pace(clock: Clock) -> None:
    tally = Tally({"p/one": 10.0, "p/two": 30.0}, clock)
    assert tally.seconds_left() is None
    tally.progress("p/one", 0.0)
    clock.now += 5
    tally.finish(Outcome("p", "one", "made"))
    assert tally.seconds_left() == pytest.approx(15.0)


def test_what_another_run_had_made_before_does_not_count_as_pace(clock: Clock) -> None:
    tally = Tally({"p/one": 10.0, "p/two": 10.0}, clock)
    tally.progress("p/one", 0.8)
    assert tally.seconds_left() is None
    clock.now += 4
    tally.progress("p/one", 1.0)
    # 2 s of film in 4 s, and 10 s are left.
    assert tally.seconds_left() == pytest.approx(20.0)


def test_a_run_lasts_as_long_as_its_slowest_film(clock: Clock) -> None:
    tally = Tally({"p/slow": 10.0, "p/one": 45.0, "p/two": 45.0}, clock)
    for name in ("p/slow", "p/one", "p/two"):
        tally.progress(name, 0.0)
    clock.now += 10
    tally.progress("p/slow", 0.1)
    tally.finish(Outcome("p", "one", "made"))
    tally.finish(Outcome("p", "two", "made"))
    assert tally.seconds_left() == pytest.approx(90.0)


def test_films_that_took_no_time_tell_no_pace(clock: Clock) -> None:
    tally = Tally({"p/one": 10.0, "p/two": 10.0}, clock)
    tally.finish(Outcome("p", "one", "renewed"))
    clock.now += 1
    assert tally.share == 0.5
    assert tally.seconds_left() is None
