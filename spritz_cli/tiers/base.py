"""The interface of a tier of the fallback chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from spritz_cli.errors import VidgenError
from spritz_cli.models import FREE, MicroUSD, Obstacle, RenderedFilm, Spending, Template, Tier


class Progress(Protocol):
    """Callback of a tier: the share of the work that is done, 0 to 1, and the current stage."""

    def __call__(self, share: float, stage: str = "drawing") -> None: ...


class TierUnavailable(VidgenError):
    """A tier cannot make this film now; `obstacle` says why and until when."""

    def __init__(self, obstacle: Obstacle, *, hint: str = "") -> None:
        super().__init__(obstacle.message, hint=hint)
        self.obstacle = obstacle


class Offer(NamedTuple):
    """The price of a tier's film of a template now, and the obstacle to making it, if any."""

    cost_micros: MicroUSD = FREE
    obstacle: Obstacle | None = None


class FilmTier(Protocol):
    """Makes the film of a template as files in a scratch directory.

    `make` raises TierUnavailable when another tier should be tried, and
    RenderError when this one tried and failed; it never leaves a process behind.
    """

    @property
    def name(self) -> Tier: ...

    def inputs(self, template: Template) -> dict[str, Any] | None:
        """Return everything that a film would be made from; None if the tier cannot make it."""

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the drawn part of `inputs`, even if the tier cannot make the film."""

    def offer(self, template: Template) -> Offer:
        """Return the price of a film; asks no provider."""

    def make(
        self, template: Template, scratch: Path, progress: Progress, spending: Spending
    ) -> RenderedFilm: ...
