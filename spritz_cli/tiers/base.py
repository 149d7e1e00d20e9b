"""What a tier of the fallback chain promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from spritz_cli.errors import VidgenError
from spritz_cli.models import FREE, MicroUSD, Obstacle, RenderedFilm, Spending, Template, Tier


class Progress(Protocol):
    """Called with the share of the work that is done, 0 to 1, and what is being done."""

    def __call__(self, share: float, stage: str = "drawing") -> None: ...


class TierUnavailable(VidgenError):
    """A tier cannot make this film now; `obstacle` says why, and when to ask again."""

    def __init__(self, obstacle: Obstacle, *, hint: str = "") -> None:
        super().__init__(obstacle.message, hint=hint)
        self.obstacle = obstacle


class Offer(NamedTuple):
    """What a tier's film of a template costs now, and what stands in its way, if anything."""

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
        """Return the document of all that a film would be made from; None if it cannot be."""

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the part of `inputs` that is drawn, whether the film can be made or not."""

    def offer(self, template: Template) -> Offer:
        """Return the price of a film, without asking anybody for it."""

    def make(
        self, template: Template, scratch: Path, progress: Progress, spending: Spending
    ) -> RenderedFilm: ...
