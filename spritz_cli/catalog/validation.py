"""How a value is checked by a pydantic model, and how its errors become problems of the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from spritz_cli.catalog.findings import Findings, as_list, as_mapping, show
from spritz_cli.catalog.strict_yaml import Document, Location

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A mapping of a file: no other keys, and no value turned into another type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Expected(NamedTuple):
    """What a field must be, and what to do; a value that may hold a secret is never quoted."""

    requirement: str
    hint: str
    is_secret: bool = False


def wrong() -> PydanticCustomError:
    """Return the error of a validator whose field has an Expected."""
    return PydanticCustomError("wrong", "wrong")


def refused(reason: str, hint: str) -> PydanticCustomError:
    """Return the error of a validator that has words of its own."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason, "hint": hint})


#: pydantic's error type -> what the value must be. Braces take the error's context.
_REQUIREMENTS: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "number_needed": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "literal_error": "{expected}",
    "greater_than": "above {gt:,}",
    "greater_than_equal": "{ge:,} or more",
    "less_than": "below {lt:,}",
    "less_than_equal": "{le:,} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a collection of {min_length} or more",
    "too_long": "a collection of at most {max_length}",
}

_HINTS: Mapping[str, str] = {
    "string_type": "Write a text; put quotes around a number that is meant as text.",
    "string_too_short": "Write the text, or delete the line if it is optional.",
    "dict_type": "Indent its “key: value” lines below it.",
    "model_type": "Indent its “key: value” lines below it.",
    "list_type": "Begin each item with “- ”, or write [a, b].",
    "tuple_type": "Begin each item with “- ”, or write [a, b].",
}


def validate(
    model: type[Model],
    value: Any,
    at: Location,
    findings: Findings,
    expected: Mapping[str, Expected],
) -> Model | None:
    """Return the value as the model has it, or add all its problems to the findings.

    `at` is the location of the value. `expected` is asked for "field", for the items of a
    list as "field[]", for the values of a mapping as "field.*" and for its keys as "field[key]".
    """
    try:
        # As JSON, where pydantic takes a list for a tuple even when it is strict.
        return model.model_validate_json(json.dumps(value))
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        for error in errors:
            if not _is_echo(error, errors):
                _report(error, model, at, findings, expected)
        return None


def _is_echo(error: ErrorDetails, errors: Iterable[ErrorDetails]) -> bool:
    """Tell whether a list only seems too short because items in it are wrong."""
    at = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(at)] == at for other in errors if other is not error
    )


def _report(
    error: ErrorDetails,
    model: type[BaseModel],
    at: Location,
    findings: Findings,
    expected: Mapping[str, Expected],
) -> None:
    place = (*at, *(part for part in error["loc"] if part != "[key]"))
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            must_be = expected.get(str(place[-1]))
            needs = f"; it must be {must_be.requirement}" if must_be else ""
            message = f"{findings.label(place)} is missing"
            findings.add(place, message, f"Add a line “{place[-1]}: …”{needs}.")
        case "extra_forbidden":
            owner, key = findings.label(place[:-1]), str(place[-1])
            message = f"{owner}: unknown key {show(key)}" if owner else f"unknown key {show(key)}"
            known = _known_keys(model, error["loc"])
            findings.add(place, message, findings.suggest(key, known, "Keys"))
        case "value_error" | "assertion_error":
            message = f"{findings.label(place)}: {context['error']}"
            findings.add(place, message, "Change the values here.")
        case "refused":
            message = f"{findings.label(place)}: {context['reason']}"
            findings.add(place, message, context["hint"])
        case "string_too_short" if context["min_length"] == 1:
            findings.add(place, f"{findings.label(place)} must not be empty", "Write the text.")
        case _:
            _report_value(error, findings.document.nearest(place), findings, expected)


def _report_value(
    error: ErrorDetails, place: Location, findings: Findings, expected: Mapping[str, Expected]
) -> None:
    names = (name for name in _names(error["loc"]) if name in expected)
    name = next(names, None)
    wanted = expected[name] if name else _of_kind(error)
    message = f"{findings.label(place)} must be {wanted.requirement}"
    if not wanted.is_secret:
        is_key = error["loc"][-1:] == ("[key]",)
        message += f", got {show(place[-1] if is_key else _value_at(place, findings.document))}"
    findings.add(place, message, wanted.hint)


def _names(loc: Sequence[str | int]) -> Iterator[str]:
    """Yield the names by which the table of expectations may know a place, nearest first."""
    *around, last = "", *loc
    ending = last if last == "[key]" else "[]" if isinstance(last, int) else ".*"
    yield from (f"{part}{ending}" for part in reversed(around))
    yield str(last)


def _of_kind(error: ErrorDetails) -> Expected:
    kind = error["type"]
    if kind not in _REQUIREMENTS:
        return Expected(f"valid ({error['msg']})", "Change the value.")
    requirement = _REQUIREMENTS[kind].format(**error.get("ctx", {}))
    return Expected(requirement, _HINTS.get(kind, f"Make it {requirement}."))


def _value_at(place: Location, document: Document) -> Any:
    value = document.value
    for part in place:
        value = as_list(value)[part] if isinstance(part, int) else as_mapping(value).get(part)
    return value


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that the model knows beside the last part of `loc`."""
    known: type[BaseModel] | None = model
    for part in loc[:-1]:
        if known and isinstance(part, str) and part in known.model_fields:
            known = _model_in(known.model_fields[part].annotation)
    return list(known.model_fields) if known else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in models if model), None)
