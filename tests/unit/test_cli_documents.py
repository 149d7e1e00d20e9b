"""The JSON Schema files of `--json`: complete, closed, described, and of one vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from spritz_cli.cli.app import COMMANDS
from spritz_cli.cli.documents import cost_usd, obstacle_fields, status_of, video_fields
from spritz_cli.models import NEVER, Obstacle, Video
from tests import documents

NAMES = sorted(path.stem for path in documents.SCHEMAS.glob("*.json"))

VIDEO = Video("p", "t", "ready", "Headline", "Body", "Action", "Alt", url="/v.mp4", cost_usd="0.80")

#: Words of earlier documents, and what is said instead.
GONE = {
    "state": "status",
    "fix": "hint",
    "mend": "hint",
    "detail": "message",
    "items": "films",
    "entries": "films",
    "templates": "films",
    "jobs": "films",
    "wall_seconds": "seconds",
    "film_seconds": "duration_seconds",
    "files_intact": "status",
    "processing": "lease",
    "peak_mb": "peak_bytes",
}


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of an object, however deep."""
    if isinstance(schema, list):
        for item in schema:
            yield from objects(item)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for item in schema.values():
            yield from objects(item)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, which leads into the common definitions."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return documents.schema("common")["$defs"][name] if name else schema


def test_every_command_has_a_schema_and_none_is_left_over() -> None:
    assert set(NAMES) == {*COMMANDS, "common", "error"}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_says_what_it_is_of(name: str) -> None:
    schema = documents.schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:vidgen:{name}:1"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_closed_and_complete_and_every_field_described(name: str) -> None:
    for schema in objects(documents.schema(name)):
        if schema.get("additionalProperties") == {"type": "number"}:
            continue
        assert schema["additionalProperties"] is False, schema
        assert schema["required"] == list(schema["properties"]), schema
        for field, described in schema["properties"].items():
            assert resolved(described)["description"].endswith("."), field


@pytest.mark.parametrize("name", NAMES)
def test_one_thing_has_one_word_and_one_unit(name: str) -> None:
    for schema in objects(documents.schema(name)):
        for field, described in schema["properties"].items() if "properties" in schema else ():
            kind = resolved(described).get("type", "")
            kinds = {kind} if isinstance(kind, str) else {*kind}
            assert field not in GONE, f"{field} is {GONE.get(field)} elsewhere"
            if field.endswith("_usd"):
                assert kinds <= {"number", "null"}, field
            if field.endswith("seconds"):
                assert kinds <= {"number", "integer", "null"}, field
            if field.endswith("_at") or field == "since":
                assert resolved(described).get("format") == "date-time", field


def test_the_common_entry_has_every_field_of_the_manifest() -> None:
    entry = documents.schema("common")["$defs"]["entry"]["properties"]
    on_the_film = {"schema", "persona", "topic", "status"}
    assert set(entry) | on_the_film == {field.name for field in fields(Video)}
    assert set(video_fields(VIDEO) or {}) == set(entry)


def test_a_document_with_a_field_more_is_refused() -> None:
    document = {"schema": "vidgen/completion/1", "command": "completion"}
    documents.validate({**document, "shell": "bash", "script": ""})
    with pytest.raises(ValidationError):
        documents.validate({**document, "shell": "bash", "script": "", "more": 1})


@pytest.mark.parametrize(
    ("video", "intact", "status"),
    [
        (None, False, "not_found"),
        (VIDEO, True, "ready"),
        (VIDEO, False, "files_missing"),
        (replace(VIDEO, status="failed", url=None), False, "failed"),
        (replace(VIDEO, status="processing", url=None), False, "processing"),
    ],
)
def test_a_film_is_never_ready_without_its_files(
    video: Video | None, intact: bool, status: str
) -> None:
    assert status_of(video, intact=intact) == status


def test_money_is_a_number_and_unknown_is_null() -> None:
    known, unknown = video_fields(VIDEO), video_fields(replace(VIDEO, cost_usd=None))
    assert known is not None
    assert unknown is not None
    assert (known["cost_usd"], unknown["cost_usd"]) == (0.8, None)
    assert cost_usd(replace(VIDEO, cost_usd="1,234.50")) == 1234.5


def test_a_retry_has_its_moment_or_none() -> None:
    later, never = Obstacle("provider_error", "busy", 1e9), Obstacle("unpriced", "no price", NEVER)
    assert obstacle_fields(later)["retry_at"] == "2001-09-09T01:46:40+00:00"
    assert obstacle_fields(never)["retry_at"] is None
