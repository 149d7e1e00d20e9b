"""The arguments that commands share, and what the global options resolve to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import typer

from spritz_cli.errors import UsageError
from spritz_cli.settings import Settings, load_settings

Persona = Annotated[
    str | None,
    typer.Argument(metavar="PERSONA", help="A persona, or a glob such as 'savings_*'."),
]
Topic = Annotated[str | None, typer.Argument(metavar="TOPIC", help="A topic, or a glob.")]
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@dataclass
class Invocation:
    """The global options of this call; settings are resolved when a command asks for them."""

    flags: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        _require_level(self.flags.get("log"))
        return load_settings(**self.flags)


def settings_of(context: typer.Context) -> Settings:
    """Return the settings that this call's flags, environment and project resolve to."""
    invocation: Invocation = context.obj
    return invocation.settings


class Selection(NamedTuple):
    """Which templates a command is about; `explicit` if the user named any."""

    persona: str
    topic: str
    explicit: bool


def selection(persona: str | None, topic: str | None) -> Selection:
    """Read the selectors; PERSONA/TOPIC, as vidgen prints it, works as one argument too."""
    if persona is not None and topic is None and "/" in persona:
        persona, topic = persona.split("/", 1)
    return Selection(
        _selector("persona", persona), _selector("topic", topic), explicit=persona is not None
    )


def _selector(what: str, given: str | None) -> str:
    """An empty one is a variable of the caller that is not set, not a wish for everything."""
    if given == "":
        raise UsageError(f"the {what} is empty", hint="Name one, or write '*' for every one.")
    return "*" if given is None else given


def _require_level(given: str | None) -> None:
    if given is not None and given.upper() not in LOG_LEVELS:
        raise UsageError(
            f"--log-level {given} is no level",
            hint=f"Use {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}.",
        )
