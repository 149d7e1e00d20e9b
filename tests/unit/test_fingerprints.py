"""Fingerprints: equal inputs, equal digest; different inputs, a line that says what."""

from __future__ import annotations

import pytest

from spritz_cli.fingerprints import differences, digest
from spritz_cli.testing import sample_template


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})


def test_the_digest_never_changes_between_versions() -> None:
    document = {"title": "Zahlen – é", "limit": 5000, "share": 0.3, "none": None}
    assert digest(document) == "cc0231b17a4c410a429cc81e407cdcddb47566eee80409b528e532616f48ce94"


def test_a_tuple_counts_as_the_list_that_a_sidecar_gives_back() -> None:
    assert digest({"cues": (1, 2)}) == digest({"cues": [1, 2]})
    assert differences({"cues": [1, 2]}, {"cues": (1, 2)}) == ()


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"parameters": {"payment": 2000}}, {"parameters": {"payment": 2500}}, (
            "parameters.payment: 2000 → 2500",
        )),
        ({"title": "Old"}, {"title": "New"}, ('title: "Old" → "New"',)),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, ("a: 1 → (none)", "c: (none) → 3")),
        ({"cues": [{"text": "a"}, {"text": "b"}]}, {"cues": [{"text": "a"}, {"text": "c"}]}, (
            'cues[1].text: "b" → "c"',
        )),
        ({"sizes": [1]}, {"sizes": [1, 2]}, ("sizes: [1] → [1, 2]",)),
        ({"on": True}, {"on": 1}, ("on: true → 1",)),
        ({"a": {"b": 5}}, {"a": {"b": 5.0}}, ("a.b: 5 → 5.0",)),
        ({"fonts": {"a.ttf": "1"}}, {"fonts": None}, ('fonts: {"a.ttf": "1"} → null',)),
    ],
)  # fmt: skip
def test_every_difference_is_one_line(old: dict, new: dict, lines: tuple[str, ...]) -> None:
    assert differences(old, new) == lines


def test_a_long_value_is_cut() -> None:
    (line,) = differences({"prompt": "x" * 500}, {"prompt": "y" * 500})
    assert len(line) < 150
    assert line.endswith("y…")


def test_a_long_text_is_cut_around_what_differs() -> None:
    prompt = "A card slides in from the left while the gauge at {}% turns from red to green. " * 2
    (line,) = differences({"prompt": prompt.format(25, 25)}, {"prompt": prompt.format(20, 25)})
    old, new = line.removeprefix("prompt: ").split(" → ")
    assert "gauge at 25% turns" in old
    assert "gauge at 20% turns" in new
    assert old[0] == old[-1] == new[0] == new[-1] == "…"
    assert len(old) == len(new) == 62


@pytest.mark.parametrize("length", [10, 40, 59, 60, 61, 90, 200])
def test_what_was_added_at_the_end_of_a_text_is_shown(length: int) -> None:
    (line,) = differences({"prompt": "x" * length}, {"prompt": "x" * length + "!"})
    assert "x!" in line


def test_a_digest_is_only_said_to_have_changed() -> None:
    assert differences({"sources": {"a": "0" * 64}}, {"sources": {"a": "f" * 64}}) == (
        "sources.a: changed",
    )


def test_different_documents_have_different_digests_exactly_when_they_differ() -> None:
    old, new = sample_template().document(), sample_template(title="Another").document()
    assert digest(old) != digest(new)
    assert differences(old, new)
    assert digest(old) == digest(sample_template().document())
