"""Faults and findings: the results of the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["error", "soon"]


class Fault(NamedTuple):
    """Something in a film that breaks a rule; `mend` says how to correct it.

    `where` is a field of the catalog. For a fault on screen, `second` is when it is
    first visible, and `element` names the element by its words or tag and its
    position. A fault of level "soon" is not one yet.
    """

    rule: str
    message: str
    mend: str
    where: str = ""
    second: float | None = None
    element: str = ""
    level: Level = "error"


@dataclass(frozen=True)
class Finding:
    """A fault of the film `name` (persona/topic)."""

    name: str
    rule: str
    where: str
    second: float | None
    element: str
    message: str
    mend: str
    level: Level


def finding_of(name: str, fault: Fault) -> Finding:
    """Return a fault as a finding of the film `name`."""
    second = None if fault.second is None else round(fault.second, 2)
    return Finding(
        name=name,
        rule=fault.rule,
        where=fault.where,
        second=second,
        element=fault.element,
        message=fault.message,
        mend=fault.mend,
        level=fault.level,
    )
