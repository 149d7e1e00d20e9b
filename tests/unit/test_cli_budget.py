"""What `vidgen budget` shows, in words and as a document."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from spritz_cli.cli import main
from spritz_cli.cli.budget import Spending, _lines, _nothing
from spritz_cli.cli.documents import name_fields
from spritz_cli.models import MicroUSD
from spritz_cli.storage.budget import Charge, DailyBudget, Day
from tests import documents


@pytest.fixture
def budget(
    real_redis: Redis, real_redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> DailyBudget:
    """The budget that the command asks in this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", real_redis_url)
    return DailyBudget(real_redis)


@pytest.fixture
def spent(budget: DailyBudget) -> str:
    """Some spending today and two days ago; returns the day of today."""
    charges = [
        Charge("a", "high_utilization/debt_paydown", MicroUSD(600_000), "held"),
        Charge("b", "high_utilization/debt_paydown", MicroUSD(600_000), "held"),
        Charge("c", "savings_builder/goal_tracking", MicroUSD(37_500), "held"),
    ]
    today = budget.reserve(charges)
    budget.settle(today, "a", MicroUSD(640_000))
    budget.settle(before(today, 2), "d", MicroUSD(1_000_000))
    return today


def test_nothing_spent_is_one_calm_line(budget: DailyBudget, capsys: pytest.CaptureFixture) -> None:
    assert said(capsys) == [
        "Nothing was spent on generated footage in the last 7 days; a day may cost $5.00."
    ]
    assert said(capsys, "--days", "1") == [
        "Nothing was spent on generated footage today; a day may cost $5.00."
    ]


def test_today_is_told_with_what_is_left_and_until_when(
    spent: str, capsys: pytest.CaptureFixture
) -> None:
    lines = said(capsys)
    assert lines[:5] == [
        f"Today, {spent} (UTC)",
        "  cap    $5.00",
        "  spent  $0.64",
        "  held   $0.6375  not known for certain yet, counts as spent",
        "  left   $3.7225",
    ]
    assert lines[5].startswith("A new day begins at 00:00 UTC, in ")


def test_each_template_and_each_day_has_a_line(spent: str, capsys: pytest.CaptureFixture) -> None:
    lines = said(capsys)
    assert lines[7:10] == [
        "TEMPLATE                       ORDERS  SPENT     HELD",
        "high_utilization/debt_paydown       2  $0.64    $0.60",
        "savings_builder/goal_tracking       1  $0.00  $0.0375",
    ]
    assert lines[11:] == [
        "DAY         ORDERS  SPENT     HELD",
        f"{spent}       3  $0.64  $0.6375",
        f"{before(spent, 2)}       1  $1.00    $0.00",
    ]


def test_days_say_how_far_to_look_back(spent: str, capsys: pytest.CaptureFixture) -> None:
    assert before(spent, 2) not in "\n".join(said(capsys, "--days", "2"))
    assert before(spent, 2) in "\n".join(said(capsys, "--days", "3"))


def test_a_free_day_after_a_dear_one_has_no_empty_table(
    budget: DailyBudget, capsys: pytest.CaptureFixture
) -> None:
    yesterday = before(budget.today().date, 1)
    budget.settle(yesterday, "a", MicroUSD(1_000_000))
    lines = said(capsys)
    assert not any(line.startswith("TEMPLATE") for line in lines)
    assert lines[-1].startswith(yesterday)


@pytest.mark.parametrize("days", ["0", "41", "-1", "many"])
def test_a_number_of_days_that_makes_no_sense_is_refused(
    budget: DailyBudget, days: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["budget", "--days", days]) == 2
    assert "--days" in capsys.readouterr().err


def test_the_document_holds_everything(spent: str, capsys: pytest.CaptureFixture) -> None:
    answer = document(capsys)
    left = answer.pop("resets_in_seconds")
    assert 0 < left <= 86_400
    first = {"orders": 2, "spent_usd": 0.64, "held_usd": 0.6}
    second = {"orders": 1, "spent_usd": 0.0, "held_usd": 0.0375}
    assert answer == {
        "schema": "vidgen/budget/1",
        "command": "budget",
        "date": spent,
        "cap_usd": 5.0,
        "spent_usd": 0.64,
        "held_usd": 0.6375,
        "left_usd": 3.7225,
        "resets_at": f"{before(spent, -1)}T00:00:00+00:00",
        "films": [
            {**name_fields("high_utilization", "debt_paydown"), **first},
            {**name_fields("savings_builder", "goal_tracking"), **second},
        ],
        "days": [
            {"date": spent, "orders": 3, "spent_usd": 0.64, "held_usd": 0.6375},
            {"date": before(spent, 2), "orders": 1, "spent_usd": 1.0, "held_usd": 0.0},
        ],
    }


def test_without_a_cap_nothing_is_left_to_count() -> None:
    nothing = Day("2026-11-23", (), None)
    assert "there is no cap" in _nothing(7, nothing)
    assert [text for _, text in _lines(nothing)] == ["none", "$0.00", "$0.00", "no limit"]
    found = Spending(nothing, (), 60.0).document()
    assert (found["cap_usd"], found["left_usd"]) == (None, None)


def test_the_document_has_the_same_fields_when_nothing_was_spent(
    budget: DailyBudget, capsys: pytest.CaptureFixture
) -> None:
    answer = document(capsys)
    assert (answer["spent_usd"], answer["held_usd"], answer["left_usd"]) == (0.0, 0.0, 5.0)
    assert (answer["films"], answer["days"]) == ([], [])


def test_an_order_of_which_only_the_cost_is_known_is_told_too(
    budget: DailyBudget, capsys: pytest.CaptureFixture
) -> None:
    budget.settle(budget.today().date, "a", MicroUSD(600_000))
    assert any(line.startswith("(unknown)") for line in said(capsys))
    assert document(capsys)["films"][0]["name"] is None


def test_a_damaged_day_is_an_error_in_words_and_in_the_document(
    budget: DailyBudget, real_redis: Redis, capsys: pytest.CaptureFixture
) -> None:
    name = f"video:budget:{budget.today().date}"
    real_redis.hset(name, "a", "nonsense")
    assert main(["budget", "--json"]) == 3
    shown = capsys.readouterr()
    assert name in shown.err
    assert name in documents.read(shown.out)["error"]["message"]


def test_the_command_explains_itself(capsys: pytest.CaptureFixture) -> None:
    assert main(["budget", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(words in text for words in ("Example: ", "Exit codes: 0", "--json", "--days"))


def said(capsys: pytest.CaptureFixture, *options: str) -> list[str]:
    assert main(["budget", *options]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.splitlines()


def document(capsys: pytest.CaptureFixture) -> dict[str, Any]:
    assert main(["budget", "--json"]) == 0
    return documents.read(capsys.readouterr().out)


def before(day: str, count: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=count)).isoformat()
