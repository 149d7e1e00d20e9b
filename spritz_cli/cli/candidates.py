"""What may stand next in a command line: the answers to the scripts of `vidgen completion`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from spritz_cli.cli import console
from spritz_cli.errors import VidgenError
from spritz_cli.models import Template
from spritz_cli.settings import LOG_LEVELS, Given, read_sources

#: In place of candidates: the shell completes names of files.
FILES = ":files"

#: Metavars of options and arguments that name a file or a folder.
PATHS = ("FILE", "DIR", "PLACE")


class Candidate(NamedTuple):
    """A word that may stand here, and what it means."""

    word: str
    help: str = ""


def complete(group: Any, words: Sequence[str]) -> int:
    """Print each word that may stand in place of the last one, with its meaning after a tab.

    `group` is Typer's group of all commands, `words` are those after `vidgen`, up to the cursor.
    """
    try:
        for candidate in candidates(group, words):
            console.out("\t".join(filter(None, candidate)))
    except VidgenError as error:
        # A setting or the catalog is not valid; the command itself will say so.
        return error.exit_code
    return 0


def candidates(group: Any, words: Sequence[str]) -> list[Candidate]:
    """Return what may stand in place of the last of `words`; raises VidgenError."""
    line, current = _read(group, words)
    option, equals, value = current.partition("=")
    if option.startswith("--") and equals:
        # zsh and fish take an option and its value for one word.
        line.take(option)
        return [Candidate(f"{option}={word}", text) for word, text in line.next(value)]
    return line.next(current)


def _read(group: Any, words: Sequence[str]) -> tuple[_Line, str]:
    # bash splits --option=value into three words, and passes quotes along.
    *before, current = [word.strip("'\"") for word in words] or [""]
    line = _Line(group)
    for word in before:
        if word != "=":
            line.take(word)
    return line, "" if current == "=" else current


class _Line:
    """The words before the cursor, understood as far as they go."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._command: Any = None
        self._explained = False
        self._arguments: list[str] = []
        self._flags: dict[str, str] = {}
        #: The option whose value comes next.
        self._open: Any = None

    def take(self, word: str) -> None:
        """Read one more word."""
        if self._open is not None:
            self._flags[self._open.name] = word
            self._open = None
        elif word.startswith("-"):
            self._take_option(*word.partition("=")[::2])
        elif self._command is None:
            self._explained |= word == "help"
            self._command = self._group.commands.get(word)
        else:
            self._arguments.append(word)

    def next(self, current: str) -> list[Candidate]:
        """Return the candidates that begin with `current`."""
        return [
            candidate
            for candidate in self._candidates(current)
            if candidate.word.startswith(current) or candidate.word == FILES
        ]

    def _take_option(self, name: str, value: str) -> None:
        for option in self._options():
            if name in option.opts and not (option.is_flag or option.count):
                self._open = None if value else option
                self._flags[option.name] = value

    def _candidates(self, current: str) -> Iterable[Candidate]:
        if self._open is not None:
            return _values(self._open)
        if current.startswith("-"):
            return self._option_names()
        if self._command is None:
            return self._commands()
        return [] if self._explained else self._argument(current)

    def _options(self) -> list[Any]:
        params = [*(self._command.params if self._command else ()), *self._group.params]
        return [param for param in params if param.param_type_name == "option"]

    def _option_names(self) -> list[Candidate]:
        named = [Candidate(name, item.help) for item in self._options() for name in item.opts]
        return [*named, Candidate("--help", "Show this message and exit.")]

    def _commands(self) -> list[Candidate]:
        commands = self._group.commands.items()
        named = [Candidate(name, command.get_short_help_str(80)) for name, command in commands]
        return named if self._explained else [*named, Candidate("help", "Explain a command.")]

    def _argument(self, current: str) -> Iterable[Candidate]:
        params = [item for item in self._command.params if item.param_type_name == "argument"]
        place = len(self._arguments)
        if place >= len(params):
            return []
        if params[place].name == "persona":
            return self._personas(by_name="/" in current)
        return self._topics() if params[place].name == "topic" else _values(params[place])

    def _personas(self, *, by_name: bool) -> Iterable[Candidate]:
        templates = self._templates()
        if by_name:
            return [Candidate(template.name, template.title) for template in templates]
        return [Candidate(name) for name in dict.fromkeys(item.persona for item in templates)]

    def _topics(self) -> Iterable[Candidate]:
        persona = self._arguments[0]
        return [
            Candidate(template.topic, template.title)
            for template in self._templates()
            if fnmatchcase(template.persona, persona)
        ]

    def _templates(self) -> tuple[Template, ...]:
        from spritz_cli.catalog.loader import load_catalog

        names = ("catalog", "state_dir")
        flags = {name: Given(self._flags.get(name), "flag", f"--{name}") for name in names}
        sources = read_sources(flags)
        catalog, state = sources.value("catalog"), sources.value("state_dir")
        # Pressing Tab must not create the folder.
        cache = state if state.is_dir() else None
        return load_catalog(catalog, sources.settings.scenes, cache).templates


def _values(param: Any) -> list[Candidate]:
    """Return the possible values of an option or argument, where they can be listed."""
    if param.metavar in PATHS:
        return [Candidate(FILES)]
    if param.metavar == "LEVEL":
        return [Candidate(level) for level in LOG_LEVELS]
    return [Candidate(choice) for choice in param.type_descriptor.choices or ()]
