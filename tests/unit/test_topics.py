from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from spritz_cli.catalog.topics import TOPICS, compute, parameters_model
from spritz_cli.errors import UsageError
from spritz_cli.templating import render_text
from tests.scenes import FROZEN

DATA = Path(__file__).parents[1] / "data"
RESULTS = json.loads((DATA / "storyboard_results.json").read_text("utf-8"))
TEXTS = json.loads((DATA / "storyboard_texts.json").read_text("utf-8"))
TEMPLATES = {item["topic"]: item for item in yaml.safe_load(FROZEN.read_text())["templates"]}


def parameters(topic: str, **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(TEMPLATES[topic]["parameters"]) | changes


@pytest.mark.parametrize("topic", RESULTS)
def test_a_topic_computes_the_numbers_of_its_storyboard(topic: str) -> None:
    assert compute(topic, parameters(topic)) == RESULTS[topic]


@pytest.mark.parametrize("topic", RESULTS)
def test_results_are_plain_json(topic: str) -> None:
    results = compute(topic, parameters(topic))
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_every_storyboard_has_its_maths() -> None:
    assert list(TOPICS) == list(RESULTS)


def test_a_topic_without_maths_has_no_results() -> None:
    assert parameters_model("crypto_basics") is None
    assert compute("crypto_basics", {"anything": 1}) == {}


@pytest.mark.parametrize(
    ("topic", "changes", "complaint"),
    [
        ("credit_utilization", {"payment_to": "Card X"}, "payment_to must name one of the cards"),
        ("credit_utilization", {"payment": 3001}, "more than Card A owes"),
        ("credit_utilization", {"payment": "much"}, "payment: a number is needed here"),
        ("credit_utilization", {"payment": True}, "payment: a number is needed here"),
        ("credit_utilization", {"guide_low_pct": 60}, "must grow"),
        ("credit_utilization", {"cards": []}, "cards: "),
        ("credit_utilization", {"colour": "red"}, "colour: "),
        ("debt_paydown_strategy", {"monthly_budget": 200}, "does not cover the minimums of \\$275"),
        ("autopay_setup", {"due_day": 31}, "due_day: .*28"),
        ("autopay_setup", {"months": [3, 2]}, "months must grow"),
        ("autopay_setup", {"statement_balance": 1200}, "less than the cushion"),
        ("balance_transfer", {"monthly_payment": 90}, "never pays"),
        ("balance_transfer", {"monthly_payment": 300}, "takes 18 months"),
        ("balance_transfer", {"current_apr_pct": 101}, "current_apr_pct: .*100"),
        ("interest_calculation", {"early_payment": 6000}, "more than the balance"),
        ("variable_income_budgeting", {"save_pct": 25}, "must add up to 100, not 105"),
        ("emergency_fund_basics", {"deposit_per_month": 0}, "deposit_per_month: .*0"),
        ("percent_based_budgets", {"paychecks": [4000, 2000]}, "must grow"),
        ("income_smoothing", {"deposits": [3600, 1900, 4000], "months_shown": 3}, "dry in month 2"),
        ("income_smoothing", {"virtual_paycheck": 3000}, "below the average"),
        ("income_smoothing", {"months_shown": 5}, "but there are 6 deposits"),
        ("cash_buffer", {"moves": [-2400]}, "below zero"),
        ("subscription_audit", {"let_go": ["Radio"]}, "let_go names Radio"),
        ("subscription_audit", {"let_go": ["Games", "Games"]}, "Games is repeated"),
        ("cancellation_tips", {"renewal_day": 2}, "in the month before"),
        (
            "bill_alerts",
            {"month_days": 28, "charges": [{"name": "X", "day": 29, "amount": 1}]},
            "X",
        ),
        ("subscription_consolidation", {"bundle_price": 40}, "not cheaper than \\$40"),
        ("goal_setting", {"months": 0}, "months: "),
        ("automation_setup", {"savings_pct": 95}, "leave something for checking"),
        ("hysa_comparison", {"regular_apy_pct": 4}, "must grow"),
        ("cd_basics", {"early_month": 12}, "before term_months"),
        ("cd_basics", {"early_month": 1}, "the penalty of \\$96.71 is more than"),
        ("savings_rate_optimization", {"rates_pct": [10, 5]}, "must grow"),
        ("savings_rate_optimization", {"assumed_apy_pct": float("nan")}, "assumed_apy_pct: "),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    topic: str, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        compute(topic, parameters(topic, **changes))
    assert caught.value.message.startswith(f"{topic}: ")


def test_a_mistake_inside_a_list_is_located() -> None:
    changed = parameters("debt_paydown_strategy")
    changed["debts"][1]["balance"] = -5
    with pytest.raises(ValidationError) as caught:
        TOPICS["debt_paydown_strategy"].model_validate(changed)
    assert caught.value.errors()[0]["loc"] == ("debts", 1, "balance")


def test_parameters_cannot_be_changed_afterwards() -> None:
    model = TOPICS["cash_buffer"].model_validate(parameters("cash_buffer"))
    with pytest.raises(ValidationError):
        model.start = 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("topic", "changes", "expected"),
    [
        ("credit_utilization", {"payment": 0}, {"overall_after_pct": 45, "card_a_after_pct": 60}),
        ("credit_utilization", {"payment_to": "Card B", "payment": 1200}, {"card_a_after": 0}),
        ("autopay_setup", {"year": 2028}, {"days_in_month": [31, 29, 31]}),
        ("balance_transfer", {"transfer_fee_pct": 0}, {"fee": 0, "saved": 860}),
        ("interest_calculation", {"early_payment_day": 30}, {"early_after_30_days": 90.19}),
        ("income_smoothing", {"starting_buffer": 100}, {"left_after_6_months": 1300}),
        ("cash_buffer", {"start": 1239.99}, {"days": [15, 50, 20, 45]}),
        ("recurring_spend_tracking", {"yearly": []}, {"yearly_share": 0, "all_in_year": 1164}),
        ("hysa_comparison", {"regular_apy_pct": 0.01}, {"windows_high_yield": 380}),
        ("savings_rate_optimization", {"assumed_apy_pct": 0}, {"step_10_years": 4800}),
    ],
)
def test_edited_parameters_change_the_results(
    topic: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    results = compute(topic, parameters(topic, **changes))
    assert {name: results[name] for name in expected} == expected


@pytest.mark.parametrize("topic", TEXTS)
def test_every_text_reads_like_its_storyboard(topic: str) -> None:
    assert texts(TEMPLATES[topic], values(topic)) == TEXTS[topic]


def test_editing_a_parameter_changes_the_words() -> None:
    changed = parameters("cash_buffer", expenses_per_month=3000)
    caption = TEMPLATES["cash_buffer"]["captions"][1]["text"]
    text = render_text(caption, changed | compute("cash_buffer", changed))
    assert text == "At $100 a day, $1,200 covers 12 days."


def values(topic: str) -> dict[str, Any]:
    return parameters(topic) | RESULTS[topic]


def texts(template: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    exact = ("prompt_template", "visual_metaphor", "duration_seconds")
    return {
        **{name: template[name] for name in exact},
        **{name: render_text(template[name], names) for name in ("title", "takeaway", "alt")},
        "card": {name: render_text(text, names) for name, text in template["card"].items()},
        "captions": [
            cue | {"text": render_text(cue["text"], names)} for cue in template["captions"]
        ],
    }
