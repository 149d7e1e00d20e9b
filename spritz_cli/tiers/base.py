"""What a tier of the fallback chain promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from spritz_cli.errors import VidgenError
from spritz_cli.models import Film, Template, Tier

#: Called with the share of the work that is done, 0 to 1.
Progress = Callable[[float], None]


class TierUnavailable(VidgenError):
    """A tier cannot make this film now; `reason` is what the manifest records.

    Reasons: `not_configured`, `budget`, `provider_error`, `moderation`, `render_error`.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class FilmTier(Protocol):
    """Makes the film of a template as files in a scratch directory.

    `make` raises TierUnavailable when another tier should be tried, and
    RenderError when this one tried and failed; it never leaves a process behind.
    """

    @property
    def name(self) -> Tier: ...

    def make(self, template: Template, scratch: Path, progress: Progress) -> Film: ...
