from __future__ import annotations

import re

import pytest

from spritz_cli.catalog.strict_yaml import Document, read_yaml


def read(text: str, unquoted: re.Pattern[str] | None = None) -> Document:
    return read_yaml(text.encode(), "t.yaml", unquoted)


def test_every_key_and_value_has_its_line() -> None:
    document = read("a: 1\nb:\n  c: [x,\n    y]\n")

    assert document.value == {"a": 1, "b": {"c": ["x", "y"]}}
    places = [(), ("a",), ("b",), ("b", "c"), ("b", "c", 0), ("b", "c", 1)]
    assert [document.line(place) for place in places] == [1, 1, 2, 3, 3, 4]
    assert document.line(("b", "c", 7, "d")) == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: Pay #1 first", ("a",)),
        ("a: Pay ##1 first", ("a",)),
        ("a: Pay\t#1 first", ("a",)),
        ("a: Learn C #", ("a",)),
        ("a: Learn C # ", ("a",)),
        ("a: #1 first", ("a",)),
        ("a: Pay\n  card #1 first", ("a",)),
        ("a: Pay\n  #1 first", ("a",)),
        ("a: Pay\r\n\r\n  #1 first\r\nb: 1", ("a",)),
        ("a:\n  - Pay #1", ("a", 0)),
        ("a:\n  - #1", ("a", 0)),
        ("a:\n- Pay\n  #1", ("a", 0)),
        ("a: {b: Pay #1\n  }", ("a", "b")),
        ("a: [Pay #1\n  ]", ("a", 0)),
        ("Pay #1", ()),
        ("a: No #1", ("a",)),
    ],
)
def test_a_text_that_a_hash_cuts_is_a_problem(text: str, place: tuple[str | int, ...]) -> None:
    document = read(text)

    [(at, problem)] = document.problems
    assert at == place
    assert problem.message == "the text ends at a “#”: YAML takes the rest for a comment"
    assert document.spoilt == {place}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: Pay # a comment", "Pay"),
        ("a: Pay ## a comment", "Pay"),
        ("a: Pay#1", "Pay#1"),
        ("a: 'Pay' #a comment", "Pay"),
        ('a: "Pay #1"', "Pay #1"),
        ("a: >-\n  Pay\n  #1", "Pay #1"),
        ("a: 5 #five", 5),
        ("a: true #yes", True),
        ("a: Pay\n#b: 1", "Pay"),
        ("a: Pay\n  # deeper", "Pay"),
        ("a: Pay\n\n#b: 1\n", "Pay"),
        ("a: [Pay\n  #, Save\n  ]", ["Pay"]),
        ("a:\n  #b: 1\n", None),
        ("a: #here\n  - 1\n", [1]),
    ],
)
def test_a_comment_stays_a_comment(text: str, value: object) -> None:
    document = read(text)

    assert (document.problems, document.value) == ([], {"a": value})


def test_a_file_may_hold_some_doubtful_texts_without_quotes() -> None:
    text = "a: 2026-09-24\nb: 16:9\n"

    assert len(read(text).problems) == 2
    dates = read(text, re.compile(r"\d{4}-\d\d-\d\d"))
    assert [at for at, _ in dates.problems] == [("b",)]
    assert dates.value == {"a": "2026-09-24", "b": "16:9"}


@pytest.mark.parametrize("content", [b"\xff", b"a: \0", b"a: [", b"a: 1\n---\nb: 1", b"[" * 30])
def test_what_cannot_be_read_to_its_end_is_spoilt_as_a_whole(content: bytes) -> None:
    document = read_yaml(content, "t.yaml")

    assert document.spoilt == {()}
    assert document.problems


def test_a_problem_has_the_location_of_what_it_spoils() -> None:
    document = read("a: {b: 1, b: 2}\nc: &here [*there, yes]\nd: {<<: !!str e, [f]: g}\n")

    assert [at for at, _ in document.problems] == [
        ("a", "b"),
        ("c",),
        ("c", 0),
        ("c", 1),
        ("d", "<<"),
        ("d", "<<"),
        ("d",),
    ]
