"""Documents of `--json`, each checked against the JSON Schema that ships with vidgen."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from spritz_cli import cli

SCHEMAS = Path(cli.__file__).parent / "schemas"

_FORMATS = FormatChecker(["date"])


@_FORMATS.checks("date-time", ValueError)
def _has_an_offset(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def schema(name: str) -> dict[str, Any]:
    """Return the schema of a command's document, of `error`, or `common`."""
    document: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    return document


def read(text: str) -> dict[str, Any]:
    """Parse an answer that is one valid document; its `schema` says of which kind."""
    document: dict[str, Any] = json.loads(text)
    validate(document)
    return document


def validate(document: dict[str, Any]) -> None:
    """Raise jsonschema's ValidationError unless a document is what its schema says."""
    product, name, version = document["schema"].split("/")
    assert (product, version) == ("vidgen", "1")
    _validator(name).validate(document)


@cache
def _validator(name: str) -> Draft202012Validator:
    common = schema("common")
    registry = Registry().with_resource(common["$id"], Resource.from_contents(common))
    return Draft202012Validator(schema(name), registry=registry, format_checker=_FORMATS)
