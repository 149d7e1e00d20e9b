"""The arguments that commands share, and what the global options resolve to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, NamedTuple

import typer

from spritz_cli.cli.variables import unknown_variables, warn_of
from spritz_cli.errors import UsageError
from spritz_cli.settings import Given, Settings, Sources, read_sources

Persona = Annotated[
    str | None,
    typer.Argument(metavar="PERSONA", help="A persona, or a glob such as 'savings_*'."),
]
Topic = Annotated[str | None, typer.Argument(metavar="TOPIC", help="A topic, or a glob.")]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@dataclass
class Invocation:
    """The global options of this call; settings are resolved when a command asks for them."""

    flags: Mapping[str, Given] = field(default_factory=dict)

    @cached_property
    def sources(self) -> Sources:
        return read_sources(self.flags)

    @cached_property
    def settings(self) -> Settings:
        settings = self.sources.settings
        self._start_logging(settings.log)
        warn_of(unknown_variables(settings.catalog))
        return settings

    def _start_logging(self, level: str) -> None:
        import logging

        # Other libraries log every request at INFO; their warnings are enough.
        others = max(logging.WARNING, logging.getLevelName(level))
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=others)
        logger = logging.getLogger("spritz_cli")
        logger.setLevel(level)
        for line in self.sources.project.unreadable:
            logger.info(line)


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
    """An empty selector is an unset variable in the caller's script, not a wish for all films."""
    if given == "":
        raise UsageError(f"the {what} is empty", hint="Name one, or write '*' for every one.")
    return "*" if given is None else given
