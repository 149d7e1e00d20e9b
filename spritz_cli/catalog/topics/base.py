"""Shared by the parameters of all topics: types, bounds and checks."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Json = int | float | str | list[Any] | dict[str, Any]


def _exact(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number_needed", "a number is needed here")
    return Decimal(str(value))


Item = TypeVar("Item")
_Number = BeforeValidator(_exact)

#: No film draws more than a dozen items of a kind.
Many = Annotated[tuple[Item, ...], Field(min_length=1, max_length=12, strict=False)]

Name = Annotated[str, Field(min_length=1, max_length=24)]
Money = Annotated[Decimal, Field(ge=0, le=1_000_000_000), _Number]
PositiveMoney = Annotated[Decimal, Field(gt=0, le=1_000_000_000), _Number]
Change = Annotated[Decimal, Field(ge=-1_000_000_000, le=1_000_000_000), _Number]
Percent = Annotated[Decimal, Field(ge=0, le=100), _Number]
PositivePercent = Annotated[Decimal, Field(gt=0, le=100), _Number]
Months = Annotated[int, Field(ge=1, le=120)]
DayOfMonth = Annotated[int, Field(ge=1, le=31)]
DaysAhead = Annotated[int, Field(ge=1, le=14)]
MonthsPerYear = Annotated[int, Field(ge=12, le=12)]


class Part(BaseModel):
    """A group of values inside the parameters, e.g. one card."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TopicParameters(Part):
    """The editable numbers of one topic. If they pass validation, `results` can be computed."""

    @abstractmethod
    def results(self) -> dict[str, Json]:
        """Return the numbers that the film shows, as plain JSON values by the names in texts."""

    @model_validator(mode="after")
    def _can_be_computed(self) -> Self:
        self.results()
        return self


def require(condition: bool, message: str) -> None:
    """Raise ValueError unless the condition holds; pydantic reports its message."""
    if not condition:
        raise ValueError(message)


def require_distinct(names: Iterable[object], noun: str) -> None:
    """Raise ValueError if a name occurs twice."""
    listed = list(names)
    repeated = sorted({str(name) for name in listed if listed.count(name) > 1})
    require(not repeated, f"each {noun} may be listed once, but {', '.join(repeated)} is repeated")


def require_ascending(values: Sequence[Decimal | int], names: str) -> None:
    """Raise ValueError unless each value is larger than the one before."""
    grows = all(low < high for low, high in itertools.pairwise(values))
    require(grows, f"{names} must grow from one to the next")


def require_whole(percents: Sequence[Decimal], names: str) -> None:
    """Raise ValueError unless the shares add up to 100 %."""
    total = sum(percents)
    require(total == 100, f"{names} must add up to 100, not {total:f}")
