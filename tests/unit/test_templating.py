from __future__ import annotations

from pathlib import Path

import pytest

from spritz_cli.errors import UsageError
from spritz_cli.templating import MAX_SOURCE, evaluate, render_text, scene_environment

VALUES = {"saved": 1234.5, "days": [10, 20], "card": {"balance": 3000}, "name": "Card A"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ saved|usd }} saved", "$1,235 saved"),
        ("{{ card.balance|usd }} on {{ name }}", "$3,000 on Card A"),
        ("{{ days[1] }} days", "20 days"),
        ("{{ (days[0] + days[1])|number }}", "30"),
        ("{% if saved > 0 %}more{% else %}less{% endif %}", "more"),
        ("{{ 3000|usd(signed=true) }}", "+$3,000"),
        ("R&D <b>\nstays", "R&D <b>\nstays"),
    ],
)
def test_a_text_is_filled_with_values(source: str, text: str) -> None:
    assert render_text(source, VALUES) == text


def test_an_undefined_name_is_reported_with_its_text_and_the_known_names() -> None:
    with pytest.raises(UsageError) as caught:
        render_text("You keep {{ savd|usd }}", VALUES)
    assert caught.value.message == "in the text “You keep {{ savd|usd }}”: 'savd' is undefined"
    assert caught.value.hint == "Known names: card, days, name, saved."


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{ card.limit }}", "no attribute 'limit'"),
        ("{{ days[9] }}", "no element 9"),
        ("{{ saved", "unexpected end of template"),
        ("{{ saved|euro }}", "No filter named 'euro'"),
        ("{{ name|usd }}", "a number is needed here, got “Card A”"),
        ("{{ saved / 0 }}", "zero"),
        ("{{ name.upper() }}", "cannot call functions"),
        ("{{ 'x' * 9 }}", "needs a number on both sides"),
        ("{% for day in days %}x{% endfor %}", "cannot contain a loop"),
    ],
)
def test_a_wrong_text_is_a_usage_error(source: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        render_text(source, VALUES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ name.__class__.__mro__ }}",
        "{{ name.upper() }}",
        "{{ range(9) }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x' * 999999999 }}",
        "{{ '%999999999d' % 3 }}",
        "{{ name|center(999999999) }}",
        "{% for a in name %}{% for b in name %}{{ a }}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include '/etc/passwd' %}",
        "{{ self }}{{ self._TemplateReference__context }}",
        "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    ],
)
def test_a_hostile_text_is_refused_at_once(source: str) -> None:
    with pytest.raises(UsageError):
        render_text(source, VALUES)


def test_a_text_has_a_maximum_length() -> None:
    with pytest.raises(UsageError, match="2,001 characters") as caught:
        render_text("a" * (MAX_SOURCE + 1), VALUES)
    assert len(caught.value.message) < 120


def test_an_expression_gives_its_value() -> None:
    assert evaluate("days[1]", VALUES) == 20
    assert evaluate("card.balance - saved", VALUES) == 1765.5


@pytest.mark.parametrize(
    "expression", ["days[9]", "nothing", "saved +", "saved|euro", "name.upper()"]
)
def test_a_wrong_expression_is_a_usage_error(expression: str) -> None:
    with pytest.raises(UsageError, match="in the text"):
        evaluate(expression, VALUES)


def test_a_scene_escapes_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "scene.svg.j2").write_text(
        "<svg>\n  {% if true %}\n{{ saved|usd }} {{ name }}\n  {% endif %}\n"
    )
    scene = scene_environment(tmp_path).get_template("scene.svg.j2")
    assert scene.render(saved=5, name="<b>") == "<svg>\n$5 &lt;b&gt;\n"
