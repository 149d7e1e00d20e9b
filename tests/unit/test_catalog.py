from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.catalog.loader import DECIDING, Catalog, get_template, load_catalog
from spritz_cli.errors import CatalogError, Problem, UnknownTemplate, UsageError
from spritz_cli.models import Cue, KeyFigure, TextCard
from spritz_cli.settings import load_settings, shipped
from tests.scenes import FROZEN

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "tests" / "catalogs" / "good" / "short.yaml"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "svg_templates"
    folder.mkdir()
    for name in ("card", "steps"):
        (folder / f"{name}.svg.j2").write_text("<svg/>")
    return folder


@pytest.fixture
def catalog(scenes: Path) -> Catalog:
    return load_catalog(SHORT, scenes)


def _edited(tmp_path: Path, before: str, after: str) -> Path:
    text = SHORT.read_text("utf-8")
    assert before in text
    path = tmp_path / "templates.yaml"
    path.write_text(text.replace(before, after), "utf-8")
    return path


# What a template holds


def test_expressions_are_filled_in_from_parameters_and_results(catalog: Catalog) -> None:
    template = catalog.get("savings_builder", "goal_setting")

    assert template.takeaway == "$200 is one next step."
    assert template.card == TextCard(
        headline="One next step",
        body="$2,400 over 12 months is $200 a month.",
        action="Write down one goal.",
    )
    assert template.captions[1] == Cue(3.0, 5.7, "$2,400\nover 12 months.")
    assert template.results["per_month"] == 200
    assert template.parameters["goal"] == 2400


def test_figures_hold_numbers_even_from_inside_a_list(catalog: Catalog) -> None:
    assert catalog.get("savings_builder", "goal_setting").figures == (
        KeyFigure(200.0, "usd", "a month"),
        KeyFigure(50.0, "pct", "the next flag"),
    )


def test_what_a_template_leaves_out_has_a_default(catalog: Catalog) -> None:
    template = catalog.get("savings_builder", "goal_setting")

    assert (template.style, template.fallback_static) == (
        "educational, supportive",
        "card.svg.j2",
    )


def test_a_template_has_the_colour_of_its_persona(catalog: Catalog) -> None:
    assert [template.accent for template in catalog.templates] == ["green", "teal"]


def test_a_topic_without_maths_takes_any_parameters(catalog: Catalog) -> None:
    template = catalog.get("newcomer", "first_steps")

    assert template.parameters == {"count": 2, "names": ["one", "two"]}
    assert template.results == {}
    assert template.card.body == "There are 2."


def test_a_changed_parameter_changes_the_words(tmp_path: Path, scenes: Path) -> None:
    path = _edited(tmp_path, "goal: 2400", "goal: 3600")

    template = load_catalog(path, scenes).get("savings_builder", "goal_setting")

    assert template.takeaway == "$300 is one next step."


def test_templates_come_in_the_order_of_the_personas(tmp_path: Path, scenes: Path) -> None:
    head, entries = SHORT.read_text("utf-8").split("templates:\n")
    first, second = entries.split("  # A topic without maths")
    path = tmp_path / "templates.yaml"
    path.write_text(f"{head}templates:\n  #{second}{first}", "utf-8")

    names = [template.name for template in load_catalog(path, scenes).templates]

    assert names == ["savings_builder/goal_setting", "newcomer/first_steps"]


@pytest.mark.parametrize("encode", ["utf-8-sig", "crlf"])
def test_a_file_saved_on_windows_is_read_alike(
    tmp_path: Path, scenes: Path, catalog: Catalog, encode: str
) -> None:
    text = SHORT.read_text("utf-8")
    path = tmp_path / "templates.yaml"
    if encode == "crlf":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    else:
        path.write_text(text, encode)

    assert load_catalog(path, scenes).templates == catalog.templates


def test_typographic_spaces_are_kept(tmp_path: Path, scenes: Path) -> None:
    path = _edited(tmp_path, "title: First steps", "title: First\u00a0steps")

    assert load_catalog(path, scenes).get("newcomer", "first_steps").title == "First\u00a0steps"


def test_the_scenes_beside_the_catalog_are_used(tmp_path: Path, scenes: Path) -> None:
    path = _edited(tmp_path, "style: calm", "style: quiet")

    assert load_catalog(path).get("newcomer", "first_steps").style == "quiet"


def test_a_catalog_that_is_a_link_is_drawn_with_the_scenes_beside_the_file_it_leads_to(
    tmp_path: Path,
) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    (real / "svg_templates").mkdir(parents=True)
    linked.mkdir()
    (real / "templates.yaml").touch()
    (linked / "templates.yaml").symlink_to("../real/templates.yaml")

    assert load_settings({}, linked).scenes == real / "svg_templates"
    (linked / "svg_templates").mkdir()
    assert load_settings({}, linked).scenes == linked / "svg_templates"


def test_the_catalog_of_the_repository_is_valid() -> None:
    templates = load_catalog(ROOT / "templates.yaml").templates

    assert len({template.key for template in templates}) == len(templates) > 0


# Choosing


def test_a_catalog_of_two_thousand_full_templates_is_read_like_a_small_one(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(_hundredfold(FROZEN.read_text("utf-8")), "utf-8")

    catalog = load_catalog(path, ROOT / "svg_templates")

    assert len(catalog.templates) == 2_000
    first, again = catalog.select(topic="goal_setting")[::99]
    assert (first.persona, again.persona) == ("savings_builder", "savings_builder_99")
    assert replace(again, persona=first.persona) == first


def _hundredfold(catalog: str) -> str:
    """Repeat the personas and their templates under other names."""
    _, _, rest = catalog.partition("\npersonas:\n")
    personas, _, templates = rest.partition("\ntemplates:\n")
    endings = ["", *(f"_{number}" for number in range(1, 100))]
    parts = (
        [re.sub(r"(?m)^(  \w+):", rf"\1{ending}:", personas) for ending in endings],
        [re.sub(r"(?m)^(  - persona: \w+)", rf"\1{ending}", templates) for ending in endings],
    )
    return "\n".join(["version: 1", "personas:", *parts[0], "templates:", *parts[1]])


def test_an_unknown_persona_is_a_value_error_that_suggests_a_name(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=r"^Unknown persona: newcommer$") as caught:
        catalog.get("newcommer", "first_steps")

    assert isinstance(caught.value, UnknownTemplate)
    assert caught.value.hint == "Did you mean newcomer?"


def test_an_unknown_topic_is_a_value_error_that_lists_the_topics(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=r"^Unknown topic: zzz for newcomer$") as caught:
        catalog.get("newcomer", "zzz")

    assert isinstance(caught.value, UnknownTemplate)
    assert caught.value.hint == "Known: first_steps."


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ((), ["savings_builder/goal_setting", "newcomer/first_steps"]),
        (("newcomer",), ["newcomer/first_steps"]),
        (("sav*",), ["savings_builder/goal_setting"]),
        (("*", "first_*"), ["newcomer/first_steps"]),
    ],
    ids=["all", "persona", "persona glob", "topic glob"],
)
def test_selectors_are_globs(catalog: Catalog, selector: tuple[str, ...], names: list[str]) -> None:
    assert [template.name for template in catalog.select(*selector)] == names


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        (("savings",), "Did you mean savings_builder?"),
        (("*", "goal_seting"), "Did you mean goal_setting?"),
        (("newcomer", "goal_setting"), "Known: first_steps."),
    ],
    ids=["persona", "topic", "topic of another persona"],
)
def test_a_selector_without_a_match_suggests_names(
    catalog: Catalog, selector: tuple[str, ...], hint: str
) -> None:
    with pytest.raises(UsageError, match="matches") as caught:
        catalog.select(*selector)

    assert caught.value.hint == hint


def test_get_template_reads_the_catalog_of_the_settings(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_CATALOG", str(_edited(tmp_path, "style: calm", "style: quiet")))
    monkeypatch.setenv("VIDGEN_STATE_DIR", str(tmp_path / "state"))

    assert get_template("newcomer", "first_steps").style == "quiet"
    with pytest.raises(UnknownTemplate, match="Unknown persona: nobody"):
        get_template("nobody", "first_steps")


# Reading


@pytest.mark.parametrize("name", ["absent.yaml", "svg_templates"], ids=["absent", "folder"])
def test_a_file_that_cannot_be_read_is_a_usage_error(
    tmp_path: Path, scenes: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot read the catalog") as caught:
        load_catalog(tmp_path / name)

    assert "--catalog" in caught.value.hint


def test_a_path_that_the_system_refuses_is_a_usage_error() -> None:
    path = Path("x" * 300) / "templates.yaml"

    assert load_settings({}, catalog=path).scenes == shipped("svg_templates")
    with pytest.raises(UsageError, match="cannot read the catalog: File name too long"):
        load_catalog(path)


def test_a_pipe_or_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(UsageError, match=f"{path}: .* not a regular file") as caught:
            load_catalog(path)

        assert "--catalog" in caught.value.hint


def test_the_message_of_a_catalog_error_tells_the_first_problem() -> None:
    problems = [Problem("t.yaml", 3, "bad"), Problem("t.yaml", 9, "worse")]

    assert str(CatalogError(problems)) == "2 problems in the catalog, the first: t.yaml:3: bad"
    assert str(CatalogError(problems[1:])) == "1 problem in the catalog: t.yaml:9: worse"


def test_an_empty_file_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.touch()

    with pytest.raises(CatalogError, match="1 problem in the catalog") as caught:
        load_catalog(path)

    assert caught.value.problems[0].message == "the catalog is empty"


@pytest.mark.parametrize("text", ["30-50", "2 cards", "3rd", "1 = 1", "Yes, please", "…", "50%"])
def test_a_text_needs_quotes_only_if_it_could_be_something_else(
    tmp_path: Path, scenes: Path, text: str
) -> None:
    path = _edited(tmp_path, "title: First steps", f"title: {text}")

    assert load_catalog(path, scenes).get("newcomer", "first_steps").title == text


@pytest.mark.parametrize("text", ["no", "On", "0:15", "1_000", "1e3", "0x1F", "010", "2027-01-02"])
def test_what_versions_of_yaml_read_differently_needs_quotes(
    tmp_path: Path, scenes: Path, text: str
) -> None:
    plain = _edited(tmp_path, "title: First steps", f"title: {text}")
    with pytest.raises(CatalogError, match="1 problem") as caught:
        load_catalog(plain, scenes)
    assert "Put quotes around it" in caught.value.problems[0].hint

    quoted = _edited(tmp_path, "title: First steps", f'title: "{text}"')
    assert load_catalog(quoted, scenes).get("newcomer", "first_steps").title == text


# The cache


def test_a_cached_catalog_equals_a_fresh_one(tmp_path: Path, scenes: Path) -> None:
    cache = tmp_path / "state"

    fresh = load_catalog(SHORT, scenes, cache)
    cached = load_catalog(SHORT, scenes, cache)

    assert cached == fresh
    documents = [[item.document() for item in each.templates] for each in (fresh, cached)]
    assert json.dumps(documents[0]) == json.dumps(documents[1])


def test_a_cached_catalog_needs_no_heavy_library(tmp_path: Path, scenes: Path) -> None:
    load_catalog(SHORT, scenes, tmp_path / "state")
    program = (
        "import sys; from pathlib import Path; from spritz_cli.catalog.loader import load_catalog;"
        "load_catalog(*map(Path, sys.argv[1:]));"
        "print([name for name in ('yaml', 'pydantic', 'jinja2') if name in sys.modules])"
    )

    run = subprocess.run(
        [sys.executable, "-c", program, SHORT, scenes, tmp_path / "state"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "[]\n"


def test_every_module_that_shapes_a_catalog_decides_the_name_of_its_cache(scenes: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from spritz_cli.catalog.loader import load_catalog;"
        "load_catalog(*map(Path, sys.argv[1:]));"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('spritz_cli.')})"
    )

    run = subprocess.run(
        [sys.executable, "-c", program, SHORT, scenes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(run.stdout.split()) - {"errors", "settings"} == set(DECIDING)


def test_an_edit_is_seen_and_replaces_the_old_cache(tmp_path: Path, scenes: Path) -> None:
    cache = tmp_path / "state"
    load_catalog(SHORT, scenes, cache)
    path = _edited(tmp_path, "style: calm", "style: quiet")

    template = load_catalog(path, scenes, cache).get("newcomer", "first_steps")

    assert template.style == "quiet"
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-20]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"calm", b"loud")),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["empty", "cut short", "altered", "a folder"],
)
def test_a_damaged_cache_is_ignored(tmp_path: Path, scenes: Path, damage: object) -> None:
    cache = tmp_path / "state"
    fresh = load_catalog(SHORT, scenes, cache)
    [file] = cache.iterdir()
    assert callable(damage)
    damage(file)

    assert load_catalog(SHORT, scenes, cache) == fresh


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, scenes: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()

    assert load_catalog(SHORT, scenes, blocked / "state") == load_catalog(SHORT, scenes)


def test_only_our_own_files_are_cleared_from_the_state_directory(
    tmp_path: Path, scenes: Path
) -> None:
    other = tmp_path / "state" / "redis.sock"
    other.parent.mkdir()
    other.touch()

    load_catalog(SHORT, scenes, other.parent)

    assert other.exists()


def test_a_scene_that_went_away_is_noticed_despite_the_cache(tmp_path: Path, scenes: Path) -> None:
    load_catalog(SHORT, scenes, tmp_path / "state")
    (scenes / "steps.svg.j2").unlink()

    with pytest.raises(CatalogError) as caught:
        load_catalog(SHORT, scenes, tmp_path / "state")

    assert [(item.line, item.message) for item in caught.value.problems] == [
        (45, "newcomer/first_steps: fallback_static: there is no steps.svg.j2 in svg_templates")
    ]


def test_an_invalid_catalog_leaves_no_cache(tmp_path: Path, scenes: Path) -> None:
    path = _edited(tmp_path, "duration_seconds: 12", "duration_seconds: 0")

    with pytest.raises(CatalogError):
        load_catalog(path, scenes, tmp_path / "state")

    assert not (tmp_path / "state").exists()
