from __future__ import annotations

from collections.abc import Callable

import pytest

from spritz_cli.retries import Retries


def failing(times: int, error: type[Exception] = OSError) -> Callable[[], int]:
    """Return something that fails `times` times, then returns its number of calls."""
    calls = 0

    def attempt() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error(f"attempt {calls}")
        return calls

    return attempt


def test_each_pause_is_followed_by_one_more_attempt() -> None:
    slept: list[float] = []
    assert Retries((1.0, 4.0), slept.append).call(failing(2), OSError) == 3
    assert slept == [1.0, 4.0]


def test_the_last_error_is_raised_when_the_pauses_are_used_up() -> None:
    slept: list[float] = []
    with pytest.raises(OSError, match="attempt 3"):
        Retries((1.0, 4.0), slept.append).call(failing(9), (OSError, ValueError))
    assert slept == [1.0, 4.0]


def test_any_other_error_is_raised_at_once() -> None:
    with pytest.raises(KeyError, match="attempt 1"):
        Retries((1.0,)).call(failing(1, KeyError), (OSError, ValueError))


def test_without_pauses_there_is_one_attempt() -> None:
    with pytest.raises(OSError, match="attempt 1"):
        Retries(()).call(failing(1), OSError)
