"""Tier 1: generated footage with our own drawing on top.

Footage is paid for once and kept; the drawing is made anew for free whenever a
word or a number changes. Without a provider, footage that is there still serves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spritz_cli.errors import EncoderKilled, RenderError
from spritz_cli.models import (
    FREE,
    NEVER,
    Obstacle,
    RenderedFilm,
    Source,
    Spending,
    Template,
    add_up,
)
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.storage.footage import FootageStore, Order
from spritz_cli.storage.upgrades import Owed, Upgrades
from spritz_cli.tiers.base import Offer, Progress, TierUnavailable
from spritz_cli.tiers.brief import Brief, brief_for, footage_in_hand
from spritz_cli.tiers.static import drawing_inputs

if TYPE_CHECKING:
    from spritz_cli.tiers.provider import Provider

#: The scene that is drawn over footage, the same for every template.
OVERLAY = "footage.svg.j2"

#: Raise it when a change of compositing or montage changes pixels: all films are then remade.
COMPOSITOR = 1

#: The share of the work that is done when the footage is there.
FOOTAGE_SHARE = 0.5

#: Seconds until footage is tried again that could not be drawn over.
DAY_SECONDS = 86_400.0


class FootageTier:
    """Buys footage from a server that speaks the Videos API, or uses what was bought."""

    name: Literal["sora"] = "sora"

    def __init__(
        self,
        library: SceneLibrary,
        footage: FootageStore,
        upgrades: Upgrades,
        provider: Provider | None = None,
    ) -> None:
        self._library = library
        self._footage = footage
        self._upgrades = upgrades
        self._provider = provider

    def inputs(self, template: Template) -> dict[str, Any] | None:
        """Return what the film would be made from; None without a provider or footage."""
        paid_fingerprint = self._paid_fingerprint(template)
        if paid_fingerprint is None:
            return None
        return {**self.drawing(template), "footage": {"paid": paid_fingerprint}}

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return what is drawn over footage, and how."""
        return {**drawing_inputs(self._library, template, OVERLAY), "compositor": COMPOSITOR}

    def offer(self, template: Template) -> Offer:
        """Return the price of the segments that are not ordered yet."""
        cost = FREE
        if wanted := self._wanted(template):
            provider, brief = wanted
            price = provider.price(brief, brief.missing(self._footage.orders(template)))
            if price is None:
                return Offer(FREE, Obstacle("unpriced", provider.unpriced(brief), NEVER))
            cost = price
        paid_fingerprint = self._paid_fingerprint(template)
        owed = self._upgrades.get(template.key) if paid_fingerprint else None
        if owed is None or owed.paid_fingerprint != paid_fingerprint:
            return Offer(cost)
        return Offer(cost, owed.obstacle)

    def make(
        self, template: Template, scratch: Path, progress: Progress, spending: Spending
    ) -> RenderedFilm:
        """Buy what is missing, within the budget unless that is ignored, and draw over it."""
        try:
            orders = self._orders(template, scratch, progress, spending)
            film = self._film(template, orders, scratch, progress)
        except EncoderKilled:
            # The machine failed, not the footage: do not postpone the next attempt.
            raise
        except (TierUnavailable, RenderError) as exc:
            paid_fingerprint = self._paid_fingerprint(template) or ""
            self._upgrades.remember(template.key, Owed(paid_fingerprint, _obstacle(exc)))
            raise
        self._upgrades.forget(template.key)
        return film

    def _film(
        self, template: Template, orders: Sequence[Order], scratch: Path, progress: Progress
    ) -> RenderedFilm:
        from spritz_cli.tiers.compositing import clip_of, compose

        def drawn(share: float, stage: str = "drawing") -> None:
            progress(FOOTAGE_SHARE + (1 - FOOTAGE_SHARE) * share, stage)

        clips = [clip_of(order, self._footage.local(order, scratch)) for order in orders]
        scene = self._library.open(replace(template, fallback_static=OVERLAY))
        film = compose(scene, clips, scratch, drawn)
        return film._replace(source=_source(orders))

    def _wanted(self, template: Template) -> tuple[Provider, Brief] | None:
        """Return the provider and the brief for it; None without a provider."""
        provider = self._provider
        return (
            (provider, brief_for(template, provider.profile, provider.model)) if provider else None
        )

    def _paid_fingerprint(self, template: Template) -> str | None:
        if wanted := self._wanted(template):
            return wanted[1].paid_fingerprint
        orders = footage_in_hand(template, self._footage)
        return orders[0].paid_fingerprint if orders else None

    def _orders(
        self, template: Template, scratch: Path, progress: Progress, spending: Spending
    ) -> Sequence[Order]:
        wanted = self._wanted(template)
        if wanted is None:
            return footage_in_hand(template, self._footage) or _refuse()
        from spritz_cli.tiers.purchase import Purchase

        provider, brief = wanted
        if spending == "unlimited":
            provider = replace(provider, budget=provider.budget.without_cap())

        def bought(share: float, stage: str = "footage") -> None:
            progress(FOOTAGE_SHARE * share, stage)

        return Purchase(brief, provider, self._footage, bought).segments(scratch)


def _refuse() -> Sequence[Order]:
    raise TierUnavailable(
        Obstacle("not_configured", "no provider of generated footage is configured"),
        hint="Set VIDGEN_PROVIDER.",
    )


def _obstacle(exc: TierUnavailable | RenderError) -> Obstacle:
    if isinstance(exc, TierUnavailable):
        return exc.obstacle
    return Obstacle("render_error", exc.message, time.time() + DAY_SECONDS)


def _source(orders: Sequence[Order]) -> Source:
    return Source(
        orders[0].provider, orders[0].model, add_up(order.cost_micros for order in orders)
    )
