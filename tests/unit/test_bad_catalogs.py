"""Each file of tests/catalogs holds one mistake, and says what vidgen must say about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spritz_cli.catalog.findings import MAX_PROBLEMS
from spritz_cli.catalog.loader import MAX_BYTES, load_catalog
from spritz_cli.catalog.schema import MAX_PERSONAS, MAX_TEMPLATES
from spritz_cli.catalog.strict_yaml import MAX_ITEMS
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


MANY = MAX_BYTES - 1_000
NAMES = [f"n{number}" for number in range(MAX_ITEMS - 1)]
ENTRY = """\
- {{persona: {}, topic: b, title: a, duration_seconds: 5, prompt_template: a, visual_metaphor: a,
   takeaway: a, card: {{headline: a, body: a, action: a}}, alt: a, parameters: {{n: 1}},
   captions: [{{start: 0, end: 4, text: a}}], figures: [{{value: n, format: usd, label: a}}]}}
"""
ALIKE = [f"{'a' * 50}{number}" for number in range(MAX_ITEMS - 1)]
HOSTILE = {
    "more bytes than allowed": "version: 1\n" + "# nothing\n" * (MAX_BYTES // 10),
    "nothing but comments": "# nothing\n" * (MANY // 10),
    "nothing but empty lines": "\n" * MANY,
    "brackets without end": "[" * MANY,
    "braces without end": "{a: " * (MANY // 4),
    "block lists in block lists": "- " * (MANY // 2),
    "very many items": "- x\n" * (MANY // 4),
    "very many lists of very many items": ("- [" + "x," * (MAX_ITEMS - 1) + "]\n") * 900,
    "very many keys": "".join(f"{name}: 1\n" for name in NAMES),
    "one key, many times": "a: 1\n" * (MANY // 5),
    "very many anchors": "- &a x\n" * (MANY // 7),
    "very many empty templates": "version: 1\ntemplates:\n" + "- {}\n" * len(NAMES),
    "very many broken templates": "version: 1\ntemplates:\n" + "- {a: 1}\n" * len(NAMES),
    "very many names that are nearly right": "version: 1\npersonas:\n"
    + "".join(f"  {name}x: {{accent: teal, topics: [a]}}\n" for name in ALIKE[:MAX_PERSONAS])
    + "templates:\n"
    + "".join(ENTRY.format(name) for name in ALIKE[:MAX_TEMPLATES]),
    "very many personas without topics": "version: 1\npersonas:\n"
    + "".join(f"  {name}: {{accent: teal, topics: [], a: 1}}\n" for name in NAMES),
    "one very long text": f'version: 1\nnote: "{"x" * MANY}"\n',
    "one very long key": f"version: 1\n? {'x' * MANY}\n: 1\n",
    "one very long number": f"version: {'9' * MANY}\n",
    "one very long line of quotes": "version: '" + "''" * (MANY // 2),
    "very many topics": f"version: 1\npersonas: {{a: {{topics: [{', '.join(NAMES)}]}}}}\n",
    "zero bytes": "\0" * MANY,
    "a zero byte in very many lines": "\0\n" * (MANY // 2),
    "aliases of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 50}]\n" for n in range(1, 9_000)),
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
