"""The rules for the words of a catalog. Nothing is drawn."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from spritz_cli.catalog.loader import load_catalog
from spritz_cli.fingerprints import digest
from spritz_cli.lint.film import word_faults
from spritz_cli.models import Cue, TextCard
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.settings import shipped
from spritz_cli.testing import sample_template
from spritz_cli.tiers.static import StaticTier

TODAY = date(2026, 6, 1)


def rules_broken(**changes: Any) -> list[tuple[str, str]]:
    facts = {"parameters": {"share": 30, "paid": 2150.5}, "results": {"after": [68, 25]}}
    template = sample_template(**{**facts, **changes})
    return [(fault.rule, fault.where) for fault in word_faults(template, TODAY)]


def test_words_that_keep_every_rule_have_no_findings() -> None:
    assert rules_broken() == []
    assert rules_broken(takeaway="Pay $2,150.50, or about $2,151, on 2 cards.") == []


def test_a_number_from_nowhere_is_found() -> None:
    assert rules_broken(takeaway="Under 31% helps.") == [("number", "takeaway")]


def test_a_spelled_number_is_a_number_too() -> None:
    assert rules_broken(takeaway="Pay three cards first.") == [("number", "takeaway")]
    assert rules_broken(takeaway="Two ways, one goal.") == []
    assert rules_broken(takeaway="Three cards.", parameters={"cards": [30, 68, 25]}) == []


def test_a_caption_too_fast_to_read_is_found() -> None:
    cues = (Cue(0.3, 1.3, "Hi"), Cue(1.5, 3.5, "Thirty-one characters are here."))
    assert rules_broken(captions=cues) == [
        ("reading-speed", "captions[0]"),
        ("reading-speed", "captions[1]"),
    ]


@pytest.mark.parametrize(
    ("cue", "rule"),
    [
        (Cue(2.05, 4.0, "Too close"), "caption-gap"),
        (Cue(13.0, 15.1, "After the end"), "caption-end"),
        (Cue(3.0, 8.0, "1\n2\n3".translate({49: "a", 50: "b", 51: "c"})), "caption-lines"),
        (Cue(3.0, 9.0, "x" * 43), "caption-lines"),
    ],
)
def test_a_caption_that_cannot_be_read_is_found(cue: Cue, rule: str) -> None:
    assert rules_broken(captions=(Cue(0.0, 2.0, "Hello"), cue)) == [(rule, "captions[1]")]


def test_a_promise_is_found() -> None:
    card = TextCard("A guaranteed win", "You should pay.", "See your cards")
    assert rules_broken(card=card) == [("promise", "card.headline"), ("promise", "card.body")]


def test_a_long_takeaway_is_found() -> None:
    assert rules_broken(takeaway="one two a word a word a word a word") == [("length", "takeaway")]


def test_a_sign_that_the_font_lacks_is_found() -> None:
    assert rules_broken(title="About ≈ half") == [("glyph", "title")]


@pytest.mark.parametrize(
    ("days", "levels"), [(-1, ["error"]), (0, ["soon"]), (29, ["soon"]), (30, [])]
)
def test_facts_are_due_after_their_date_and_announced_a_month_before(
    days: int, levels: list[str]
) -> None:
    template = sample_template(review_by=(TODAY + timedelta(days)).isoformat())
    faults = [fault for fault in word_faults(template, TODAY) if fault.rule == "review"]
    assert [fault.level for fault in faults] == levels


def test_a_review_date_is_no_input_of_a_film() -> None:
    tier = StaticTier(SceneLibrary(shipped("svg_templates")))
    dated = sample_template(review_by="2027-06-30")
    assert digest(tier.inputs(dated)) == digest(tier.inputs(sample_template()))
    assert "review_by" not in dated.document()


def test_every_template_that_quotes_rates_has_a_review_date() -> None:
    quoting = {
        "balance_transfer",
        "interest_calculation",
        "hysa_comparison",
        "cd_basics",
        "savings_rate_optimization",
    }
    templates = load_catalog(shipped("templates.yaml")).templates
    undated = {item.topic for item in templates if not item.review_by}
    assert not quoting & undated


def test_the_words_of_the_catalog_keep_every_rule(catalog) -> None:
    for template in catalog.templates:
        assert list(word_faults(template, TODAY)) == [], template.name
