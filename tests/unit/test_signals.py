"""What must not be cut in two, and what comes of the interruption."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest

from spritz_cli.runs.signals import postponed, uninterrupted


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The signals that reached the handler of a command."""
    numbers: list[int] = []
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: numbers.append(number)) for number in every]
    yield numbers
    for number, handler in zip(every, before, strict=True):
        signal.signal(number, handler)


def test_a_postponed_interruption_comes_at_the_end(handled: list[int]) -> None:
    with postponed():
        signal.raise_signal(signal.SIGTERM)
        assert handled == []

    assert handled == [signal.SIGTERM]


def test_two_postponed_interruptions_are_one(handled: list[int]) -> None:
    with postponed():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)

    assert handled == [signal.SIGINT]


def test_nothing_is_lost_where_what_was_protected_fails(handled: list[int]) -> None:
    with suppress(ZeroDivisionError), postponed():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError

    assert handled == [signal.SIGINT]


def test_what_is_ignored_stays_so_for_processes_that_are_started(handled: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with postponed():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.raise_signal(signal.SIGHUP)

    assert handled == []


def test_nobody_interrupts_the_tidying_up(handled: list[int]) -> None:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
    assert handled == []

    signal.raise_signal(signal.SIGINT)
    assert handled == [signal.SIGINT]


@pytest.mark.parametrize("block", [postponed, uninterrupted])
def test_a_thread_leaves_the_handlers_alone(block, handled: list[int]) -> None:
    seen = []

    def work() -> None:
        with block():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
