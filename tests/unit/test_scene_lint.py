"""Each scene of tests/lint breaks the rule that it names, or none although it looks like it."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from spritz_cli.lint.film import findings, screen_faults
from spritz_cli.models import Cue
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.testing import sample_template

SCENES = Path(__file__).parent.parent / "lint"
FINE = sorted(path.name for path in SCENES.glob("fine_*.svg.j2"))
BROKEN = sorted({path.name for path in SCENES.glob("*.svg.j2")} - {*FINE})
HEADER = re.compile(r"\{# expect: (.*?) · (.*?) · (.*) · (.*) #\}")


def film(scene: str, **changes):
    """Return a film of five seconds whose final hold starts at 2.6 s."""
    return sample_template(fallback_static=scene, duration_seconds=5, **changes)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found_with_second_and_element(name: str) -> None:
    expected = HEADER.match((SCENES / name).read_text("utf-8"))
    assert expected

    (fault,) = screen_faults(film(name), SceneLibrary(SCENES))

    assert fault.rule == expected[1]
    assert re.fullmatch(expected[2], f"{fault.second:.2f}")
    assert re.fullmatch(expected[3], fault.element)
    assert re.search(expected[4], fault.message)
    assert fault.mend


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_like_a_fault_is_none(name: str) -> None:
    assert screen_faults(film(name), SceneLibrary(SCENES)) == []


def test_a_scene_that_is_not_there_is_a_finding() -> None:
    (fault,) = screen_faults(film("gone.svg.j2"), SceneLibrary(SCENES))
    assert "gone.svg.j2" in fault.message


def test_findings_name_the_film_and_come_in_the_order_of_its_seconds() -> None:
    template = film("faint.svg.j2", takeaway="You should pay 7.", captions=(Cue(0, 2, "Hello"),))
    found = findings(template, SceneLibrary(SCENES), date(2026, 1, 1))
    assert [(item.name, item.rule, item.second) for item in found] == [
        ("high_utilization/credit_utilization", "promise", None),
        ("high_utilization/credit_utilization", "number", None),
        ("high_utilization/credit_utilization", "contrast", 0.0),
    ]
