"""The maths of the twenty topics: from editable parameters to the numbers a film shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from spritz_cli.catalog.topics import (
    high_utilization,
    savings_builder,
    subscription_heavy,
    variable_income,
)
from spritz_cli.catalog.topics.base import TopicParameters
from spritz_cli.errors import UsageError

TOPICS: Mapping[str, type[TopicParameters]] = {
    **high_utilization.TOPICS,
    **variable_income.TOPICS,
    **subscription_heavy.TOPICS,
    **savings_builder.TOPICS,
}


def parameters_model(topic: str) -> type[TopicParameters] | None:
    """Return the model that checks a topic's parameters; None if vidgen has no maths for it."""
    return TOPICS.get(topic)


def compute(topic: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a topic's results as plain JSON values; {} for a topic without maths.

    Raises UsageError for parameters that are invalid.
    """
    model = parameters_model(topic)
    if model is None:
        return {}
    try:
        return model.model_validate(dict(parameters)).results()
    except ValidationError as exc:
        raise UsageError(f"{topic}: {_first_mistake(exc)}") from exc


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
