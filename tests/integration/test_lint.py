"""`vidgen lint` in real processes, with real scenes and exit codes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from spritz_cli.lint.film import findings
from spritz_cli.lint.run import findings_of_all
from spritz_cli.models import Template
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.settings import shipped
from tests import documents
from tests.small import write_project

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 6, 1)

#: A scene without motion whose texts can all be read.
SCENE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720">
<rect width="1280" height="720" fill="{{ paper }}"/>
<text x="132" y="76" font-size="36" font-weight="700" fill="{{ ink }}">{{ film.title }}</text>
</svg>
"""
FADED = SCENE.replace("{{ ink }}", "{{ line }}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, {"first": 5, "second": 5})
    (tmp_path / "svg_templates" / "card.svg.j2").write_text(SCENE)
    return tmp_path


def vidgen(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spritz_cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )


def change(folder: Path, old: str, new: str) -> None:
    catalog = folder / "templates.yaml"
    assert old in catalog.read_text()
    catalog.write_text(catalog.read_text().replace(old, new))


def test_a_clean_catalog_has_no_findings(project: Path) -> None:
    answer = vidgen(project, "lint")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "2 films checked, 0 findings.\n"


def test_words_that_break_a_rule_are_findings(project: Path) -> None:
    change(project, "Begin with one.", "You should begin with 7.")
    answer = vidgen(project, "lint", "--words", "--json")
    document = documents.read(answer.stdout)
    found = [finding for film in document["films"] for finding in film["findings"]]
    assert answer.returncode == 1
    assert document["totals"] == {"films": 2, "errors": len(found), "soon": 0}
    assert {item["rule"] for item in found} == {"number", "promise"}
    assert {item["where"] for item in found} == {"takeaway"}


def test_a_scene_that_breaks_a_rule_is_found_on_every_film_that_uses_it(project: Path) -> None:
    (project / "svg_templates" / "card.svg.j2").write_text(FADED)
    answer = vidgen(project, "lint", "--json")
    document = documents.read(answer.stdout)
    assert (answer.returncode, document["totals"]["films"]) == (1, 2)
    assert [film["name"] for film in document["films"]] == ["newcomer/first", "newcomer/second"]
    (first,), (_,) = (film["findings"] for film in document["films"])
    assert (first["rule"], first["second"], first["level"]) == ("contrast", 0.0, "error")
    assert first["element"].startswith("“First steps” at 1")
    assert first["hint"]
    assert vidgen(project, "lint", "--words").returncode == 0


def test_findings_are_a_table_for_people(project: Path) -> None:
    (project / "svg_templates" / "card.svg.j2").write_text(FADED)
    heading, row, summary = vidgen(project, "lint", "newcomer", "first").stdout.splitlines()
    assert heading.split()[:4] == ["FILM", "WHERE", "ELEMENT", "RULE"]
    assert "newcomer/first" in row
    assert "0.0 s" in row
    assert summary == "1 film checked, 1 finding."


def test_a_scene_that_cannot_be_drawn_is_a_finding_not_a_crash(project: Path) -> None:
    (project / "svg_templates" / "card.svg.j2").write_text("<svg>{{ 1 / 0 }}")
    answer = vidgen(project, "lint", "newcomer/first", "--json")
    ((found,),) = (film["findings"] for film in documents.read(answer.stdout)["films"])
    assert answer.returncode == 1
    assert (found["rule"], found["message"]) == ("drawing", "division by zero")


def test_what_is_due_soon_fails_nothing(project: Path) -> None:
    today = datetime.now(UTC).date().isoformat()
    change(project, "    title:", f'    review_by: "{today}"\n    title:')
    answer = vidgen(project, "lint", "--words")
    assert answer.returncode == 0
    assert answer.stdout.endswith("2 films checked, 0 findings, 2 due soon.\n")
    change(project, today, "2020-02-29")
    assert vidgen(project, "lint", "--words").returncode == 1


def test_a_catalog_that_is_not_valid_is_exit_2(project: Path) -> None:
    change(project, "duration_seconds: 5", "duration_seconds: 0")
    answer = vidgen(project, "lint")
    assert answer.returncode == 2
    assert "error: templates.yaml:" in answer.stderr
    assert "2 problems in all" in answer.stderr


def test_processes_find_what_one_process_finds(catalog) -> None:
    templates = [
        replace(item, duration_seconds=5, fallback_static="faint.svg.j2")
        for item in catalog.templates[:3]
    ]
    scenes = Path(__file__).parents[1] / "lint"
    alone = [findings(item, SceneLibrary(scenes), TODAY) for item in templates]
    assert [*findings_of_all(templates, scenes, TODAY, processes=2)] == alone
    assert all(alone)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(20))
def test_the_films_of_the_catalog_keep_every_rule(index: int, catalog) -> None:
    template: Template = catalog.templates[index]
    assert findings(template, SceneLibrary(shipped("svg_templates")), TODAY) == []
