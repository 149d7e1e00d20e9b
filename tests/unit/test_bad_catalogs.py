"""Each file of tests/catalogs holds one mistake, and says what vidgen must say about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spritz_cli.catalog import MAX_PROBLEMS, load_catalog
from spritz_cli.errors import CatalogError

CATALOGS = Path(__file__).parent.parent / "catalogs"
BAD = sorted(CATALOGS.glob("*.yaml"))
HEADER = re.compile(r"^# expect: line (\d+): (.*)\n# hint: (.*)\n", re.MULTILINE)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_named_with_its_line_and_what_to_do(path: Path) -> None:
    expected = HEADER.findall(path.read_bytes().decode("utf-8", "replace"))

    with pytest.raises(CatalogError) as caught:
        load_catalog(path)

    problems = caught.value.problems
    assert [(str(item.line), item.message, item.hint) for item in problems] == expected
    assert all(item.hint for item in problems)


def test_the_problems_name_the_file_as_it_is_seen_from_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(CATALOGS)

    with pytest.raises(CatalogError) as caught:
        load_catalog(CATALOGS / "duration_zero.yaml")

    assert str(caught.value.problems[0]) == (
        "duration_zero.yaml:12: savings_builder/goal_setting: duration_seconds must be 5–60, got 0"
    )


NAMES = [f"n{number}" for number in range(19_000)]
HOSTILE = {
    "ten megabytes": "version: 1\n" + "# nothing\n" * 1_000_000,
    "brackets without end": "[" * 999_000,
    "braces without end": "{a: " * 200_000,
    "block lists in block lists": "- " * 400_000,
    "very many items": "- x\n" * 240_000,
    "very many keys": "".join(f"{name}: 1\n" for name in NAMES),
    "one key, many times": "a: 1\n" * 19_000,
    "very many anchors": "- &a x\n" * 19_000,
    "very many empty templates": "version: 1\ntemplates:\n" + "- {}\n" * 19_000,
    "very many broken templates": "version: 1\ntemplates:\n" + "- {a: 1}\n" * 500,
    "one very long text": f'version: 1\nnote: "{"x" * 990_000}"\n',
    "one very long key": f"version: 1\n? {'x' * 990_000}\n: 1\n",
    "one very long number": f"version: {'9' * 990_000}\n",
    "one very long line of quotes": "version: '" + "''" * 490_000,
    "very many topics": f"version: 1\npersonas: {{a: {{topics: [{', '.join(NAMES)}]}}}}\n",
    "zero bytes": "\0" * 990_000,
    "aliases of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 50}]\n" for n in range(1, 400)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_quickly(tmp_path: Path, text: str) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(text, "utf-8")

    with pytest.raises(CatalogError) as caught:
        load_catalog(path)

    assert len(caught.value.problems) <= MAX_PROBLEMS + 1
    assert all(len(problem.message) <= 500 for problem in caught.value.problems)


def test_a_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text('"\\e[31m\\u202e": 1\nversion: "\\e[2J"\n', "utf-8")

    with pytest.raises(CatalogError) as caught:
        load_catalog(path)

    assert all(problem.message.isprintable() for problem in caught.value.problems)
    assert all(problem.hint.isprintable() for problem in caught.value.problems)
