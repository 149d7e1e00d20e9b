"""What the parameters of every topic have in common: types, bounds, messages."""

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

#: A film draws at most a dozen of anything.
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
    """The editable numbers of one topic. Whatever passes validation can be computed."""

    @abstractmethod
    def results(self) -> dict[str, Json]:
        """Return what the film shows, as plain JSON values, under the names that texts use."""

    @model_validator(mode="after")
    def _can_be_computed(self) -> Self:
        self.results()
        return self


def require(fact: bool, message: str) -> None:
    """Raise the ValueError that validation reports as `message`."""
    if not fact:
        raise ValueError(message)


def require_distinct(names: Iterable[object], what: str) -> None:
    """Refuse a name that occurs twice."""
    seen = list(names)
    twice = sorted({str(name) for name in seen if seen.count(name) > 1})
    require(not twice, f"each {what} can be listed once, but {', '.join(twice)} is there twice")


def require_ascending(values: Sequence[Decimal | int], what: str) -> None:
    """Refuse values that do not grow from one to the next."""
    grows = all(low < high for low, high in itertools.pairwise(values))
    require(grows, f"{what} must grow from one to the next")


def require_whole(percents: Sequence[Decimal], what: str) -> None:
    """Refuse shares that do not add up to 100 %."""
    total = sum(percents)
    require(total == 100, f"{what} must add up to 100, not {total:f}")
