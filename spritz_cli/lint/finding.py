"""What a rule has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["error", "soon"]


class Fault(NamedTuple):
    """Something in a film that a viewer would stumble over.

    `where` is a place in the catalog; for what is seen on screen, `second`
    says when it is first so, and `element` names it: its words or tag and
    where it stands. A fault of level "soon" is none yet.
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


def found(name: str, fault: Fault) -> Finding:
    """Return the finding of a fault in a film."""
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
