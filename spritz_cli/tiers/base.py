"""What a tier of the fallback chain promises."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from spritz_cli.errors import VidgenError
from spritz_cli.models import FREE, MicroUSD, RenderedFilm, Template, Tier


class Progress(Protocol):
    """Called with the share of the work that is done, 0 to 1, and what is being done."""

    def __call__(self, share: float, stage: str = "drawing") -> None: ...


class TierUnavailable(VidgenError):
    """A tier cannot make this film now; `reason` is what the manifest records.

    Reasons: `not_configured`, `unpriced`, `budget`, `provider_error`, `moderation`,
    `render_error`. Asking again makes sense after `retry_seconds`; None: not at all.
    """

    def __init__(
        self, message: str, *, reason: str, hint: str = "", retry_seconds: float | None = 3600.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.retry_seconds = retry_seconds


class Offer(NamedTuple):
    """What a tier's film of a template costs now, in micro-dollars.

    Before `wait_until` (epoch seconds) the tier is not to be asked, because of
    `reason` and `error`.
    """

    cost_micros: MicroUSD = FREE
    wait_until: float = 0.0
    reason: str = ""
    error: str = ""


class FilmTier(Protocol):
    """Makes the film of a template as files in a scratch directory.

    `make` raises TierUnavailable when another tier should be tried, and
    RenderError when this one tried and failed; it never leaves a process behind.
    """

    @property
    def name(self) -> Tier: ...

    def make(self, template: Template, scratch: Path, progress: Progress) -> RenderedFilm: ...
