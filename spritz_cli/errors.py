"""Every error that vidgen raises on purpose, each with its exit code.

VidgenError                      1  something asked for could not be had
├── RenderError                  1  a film could not be drawn or encoded
│   ├── EncoderKilled            1  ffmpeg was killed, hung or lacks memory: try again
│   └── FilmDamaged              1  a finished film does not play
├── LeaseLost                    1  another process took over this template
├── ProviderError                1  the provider of footage refused, or failed
│   ├── OutcomeUnknown           1  it may have accepted a request, and may charge for it
│   └── StillRunning             1  time is up and the job is still at work: resume it
├── Interrupted                130  the user stopped the command
├── UsageError                   2  a selector, flag or setting makes no sense
│   ├── InvalidFile              2  a file is not valid (all problems at once)
│   │   ├── CatalogError         2  templates.yaml
│   │   └── ProvidersError       2  providers.yaml
│   └── UnknownTemplate          2  no such persona or topic (also a ValueError)
└── InfrastructureError          3  the machine, not the catalog, is the reason
    ├── RedisUnavailable         3  no server, or it went away
    ├── StorageError             3  the videos directory or bucket cannot be written or read
    └── MissingLibrary           3  libcairo, ffmpeg or a font is not there
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, Self

#: What a command exits with that Ctrl-C or a signal stopped, as shells count: 128 + SIGINT.
INTERRUPTED_EXIT_CODE = 130

#: Why a provider of footage did not deliver. `lost`: a job or an answer that nobody can find.
ProviderKind = Literal[
    "moderation", "auth", "quota", "rate", "invalid", "server", "lost", "unreachable"
]


class VidgenError(Exception):
    """Base of all errors: `message` says what and where, `hint` what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RenderError(VidgenError):
    """A film could not be drawn or encoded."""


class EncoderKilled(RenderError):
    """Somebody killed ffmpeg, it hung, or it lacks memory; the film is not to blame."""


class FilmDamaged(RenderError):
    """A finished film does not play, or could not be decoded this time."""


class LeaseLost(VidgenError):
    """Another process took over the template that this one was working on."""


class ProviderError(VidgenError):
    """The provider of footage refused a request, failed at it, or cannot be reached.

    `retry_after` are the seconds that it asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ProviderKind,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.retry_after = retry_after


class OutcomeUnknown(ProviderError):
    """A request may or may not have been accepted: it may be charged, never repeat it."""


class StillRunning(ProviderError):
    """The time was up while the job was still at work; it can be waited for again."""


class Interrupted(VidgenError):
    """The user stopped the command; what was published stays."""

    exit_code = INTERRUPTED_EXIT_CODE


class UsageError(VidgenError):
    """A selector, flag or setting makes no sense."""

    exit_code = 2


class UnknownTemplate(UsageError, ValueError):
    """The catalog has no such persona or topic."""

    @classmethod
    def among(cls, persona: str, topic: str, known: Sequence[tuple[str, str]]) -> Self:
        """Say which of the two no (persona, topic) of `known` has, and what comes near it."""
        personas = dict.fromkeys(pair[0] for pair in known)
        topics = [pair[1] for pair in known if pair[0] == persona]
        if not topics:
            return cls(f"Unknown persona: {persona}", hint=did_you_mean(persona, personas))
        hint = did_you_mean(topic, topics)
        return cls(f"Unknown topic: {topic} for {persona}", hint=hint)


class Problem(NamedTuple):
    """One mistake in a file: where it is, what is wrong, what to do about it."""

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class InvalidFile(UsageError):
    """A file is not valid; `problems` lists every mistake found, in file order."""

    name = "the file"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        total = f"1 problem in {self.name}" if count == 1 else f"{count} problems in {self.name}"
        first = "" if count == 1 else ", the first"
        super().__init__(f"{total}{first}: {self.problems[0]}", hint=self.problems[0].hint)


class CatalogError(InvalidFile):
    """The catalog is not valid."""

    name = "the catalog"


class ProvidersError(InvalidFile):
    """A profile of a providers.yaml, or the whole file, is not valid."""

    name = "providers.yaml"


class InfrastructureError(VidgenError):
    """The machine, not the catalog, is the reason."""

    exit_code = 3


class RedisUnavailable(InfrastructureError):
    """The Redis server cannot be reached, or went away."""


class StorageError(InfrastructureError):
    """The videos directory or bucket cannot be written or read."""


class MissingLibrary(InfrastructureError):
    """A library, program or font that rendering needs is not there."""


@contextmanager
def libraries_of(distribution: str) -> Iterator[None]:
    """Name the distribution to install where a library is missing: raises MissingLibrary."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("spritz_cli"):
            raise
        raise MissingLibrary(
            f"this needs {exc.name}, which comes with {distribution}",
            hint=f"Install {distribution}, from the repository or wheels that this came from.",
        ) from exc


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint for a name that is not `known`: the names near it, or all of them."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(known))
    close = get_close_matches(word, names, n=3)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
