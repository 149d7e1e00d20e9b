"""What a run would do about each template, and why: compares the published with the wanted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, NamedTuple, Protocol

from spritz_cli import fingerprints
from spritz_cli.models import FREE, TIERS, MicroUSD, Template, Tier, Video
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.tiers.base import FilmTier, Offer

Action = Literal["make", "renew", "keep"]

#: What a film may cost: what the daily cap allows, anything, or only what was paid before.
Spending = Literal["capped", "unlimited", "nothing"]

#: An entry with a smaller share of its life left is renewed by the run that sees it.
RENEWAL_SHARE = 0.25

#: So many digits of a digest tell two versions of a file apart.
SHORT = 12

FOUND_ON_DISK = "found on disk"
URL_PREFIX_CHANGED = "url prefix changed"
#: Tiers that are closed for these reasons are spoken of elsewhere, if at all.
_NO_OBSTACLES = ("not_configured", "budget")

UPGRADE = "generated footage is due"
OVER_BUDGET = "today's budget for generated footage is used up"


class SourcedTier(FilmTier, Protocol):
    """A tier that can tell, without drawing anything, what a film would be made from."""

    def inputs(self, template: Template) -> dict[str, Any] | None:
        """Return the document of all that a film would be made from; None if it cannot be."""

    def drawing(self, template: Template) -> dict[str, Any]:
        """Return the part of `inputs` that is drawn, whether the film can be made or not."""

    def offer(self, template: Template) -> Offer: ...


class PlanItem(NamedTuple):
    """What a run would do about one template, and why.

    `cost_micros` is what new footage would cost in micro-dollars, `owed_micros` what
    it would cost if the budget of today allowed it. `obstacle` says why a
    better tier is not asked before `retry_at` (epoch seconds).
    """

    template: Template
    action: Action
    reason: str
    differences: tuple[str, ...] = ()
    tier: Tier = "static"
    cost_micros: MicroUSD = FREE
    video: Video | None = None
    owed_micros: MicroUSD = FREE
    obstacle: str = ""
    retry_at: float = 0.0

    @property
    def cost_usd(self) -> float:
        return self.cost_micros / 1_000_000

    @property
    def spending(self) -> Spending:
        """What the film may cost when it is made."""
        return "nothing" if self.owed_micros else "capped"


class Plan(NamedTuple):
    """One item per template, in the order of the catalog."""

    items: tuple[PlanItem, ...]

    def of(self, *actions: Action) -> tuple[PlanItem, ...]:
        return tuple(item for item in self.items if item.action in actions)


def plan(
    templates: Sequence[Template],
    *,
    store: VideoStore,
    manifest: VideoManifest,
    tiers: Sequence[SourcedTier],
    budget: DailyBudget | None = None,
    force: bool = False,
) -> Plan:
    """Compare what is published with what the catalog asks for; changes nothing.

    Without a `budget`, money is no limit.
    """
    videos = manifest.peek_many(templates)
    entries = zip(videos, manifest.time_left(templates), strict=True)
    found = dict(zip([template.key for template in templates], entries, strict=True))

    def judged(template: Template, spending: Spending) -> PlanItem:
        judge = Judge(template, store, manifest, tiers, spending)
        return judge.judge(*found[template.key], force=force)

    # After the manifest was read: what it lists is there by now.
    with store.snapshot(list(map(_looked_for, templates, videos))):
        items = {template.key: judged(template, "capped") for template in templates}
        for item in _unaffordable(items.values(), budget):
            thrifty = judged(item.template, "nothing")
            items[item.template.key] = thrifty._replace(owed_micros=item.cost_micros)
    return Plan(tuple(items.values()))


def most_valuable_first(items: Iterable[PlanItem]) -> list[PlanItem]:
    """Order the films by who gets the money: highest priority, then the longest published."""
    return sorted(items, key=lambda item: (-item.template.priority, _age(item)))


def fingerprint(template: Template, tiers: Sequence[SourcedTier]) -> str:
    """Return the digest of what the best tier would make the film from."""
    found = (tier.inputs(template) for tier in tiers)
    return fingerprints.digest(next(inputs for inputs in found if inputs is not None))


def ingredients(template: Template, tiers: Sequence[SourcedTier]) -> dict[str, str]:
    """Return a short digest of each thing that decides the drawing, by its name.

    The same on every host that has the same files and libraries, with or without a provider:
    what is drawn over footage counts for every film, because hosts that differ in it would
    make each other's films anew as soon as there is footage.
    """
    texts, scenes, renderer = "", dict[str, str](), dict[str, Any]()
    for tier in reversed(tiers):
        drawing = tier.drawing(template)
        texts = fingerprints.digest({"template": drawing.pop("template", None)})
        for name, digest in drawing.pop("scene", {}).items():
            known = scenes.setdefault(f"svg_templates/{name}", digest)
            if known != digest:
                # Scenes of one's own, and ours over footage.
                scenes[f"svg_templates/{name} of {tier.name}"] = digest
        renderer |= drawing
    found = {"templates.yaml": texts, **scenes, "renderer": fingerprints.digest(renderer)}
    return {name: digest[:SHORT] for name, digest in found.items()}


def _looked_for(template: Template, video: Video | None) -> Template | Video:
    return video if video and video.status == "ready" else template


def _unaffordable(items: Iterable[PlanItem], budget: DailyBudget | None) -> list[PlanItem]:
    """Return those behind the line where today's money ends."""
    priced = most_valuable_first(item for item in items if item.cost_micros)
    left = budget.today().left if budget and priced else None
    if left is None:
        return []
    sums = accumulate(item.cost_micros for item in priced)
    return [item for item, total in zip(priced, sums, strict=True) if total > left]


def _age(item: PlanItem) -> str:
    # ISO 8601 in one zone sorts by time; who has nothing yet goes first.
    return (item.video.created_at or "") if item.video else ""


class Closed(NamedTuple):
    """Why a tier is not to be asked, in the manifest's words."""

    reason: str
    error: str | None = None


@dataclass(frozen=True)
class Judge:
    """Decides about one template."""

    template: Template
    store: VideoStore
    manifest: VideoManifest
    tiers: Sequence[SourcedTier]
    spending: Spending = "capped"

    def judge(
        self, video: Video | None, seconds_left: float | None, *, force: bool = False
    ) -> PlanItem:
        """Decide what has to be done, given the manifest's entry and how long it lives."""
        if force:
            return self._make("forced", video)
        if video is None or video.status != "ready":
            return self._judge_missing(video)
        if not self._current(video) and not self._best_shows(video):
            return self._make("inputs changed", video, self._differences(video))
        if not self.store.intact(video):
            return self._make("files missing", video)
        if self._better_than(video):
            return self._make(UPGRADE, video)
        if (seconds_left or 0.0) < RENEWAL_SHARE * self.manifest.ttl_seconds:
            return self._leave("renew", "expires soon", video)
        if video != self.store.addressed(video):
            return self._leave("renew", URL_PREFIX_CHANGED, video)
        return self._leave("keep", "up to date", video)

    def judge_now(self) -> PlanItem:
        """Decide by what the manifest says at this moment."""
        video = self.manifest.peek(self.template.persona, self.template.topic)
        return self.judge(video, self.manifest.time_left([self.template])[0])

    @cached_property
    def inputs(self) -> dict[Tier, dict[str, Any]]:
        """What each tier that can make the film would make it from."""
        found = ((tier.name, tier.inputs(self.template)) for tier in self.tiers)
        return {name: inputs for name, inputs in found if inputs is not None}

    @cached_property
    def fingerprints(self) -> dict[Tier, str]:
        return {name: fingerprints.digest(inputs) for name, inputs in self.inputs.items()}

    @cached_property
    def offers(self) -> dict[Tier, Offer]:
        return {tier.name: tier.offer(self.template) for tier in self.tiers}

    @cached_property
    def closed(self) -> dict[Tier, Closed]:
        """The tiers that are not to be asked."""
        found = ((tier.name, self._closed(tier)) for tier in self.tiers)
        return {name: closed for name, closed in found if closed}

    def shows(self, video: Video | None, tier: Tier) -> bool:
        """Whether a published film is what a tier would make, or better than that.

        Better is generated footage of an earlier order, below the same drawing.
        """
        if video is None or video.status != "ready" or video.fallback_used is None:
            return False
        if video.fallback_used == tier:
            return self._current(video) and self.store.intact(video)
        return _ranks_above(video.fallback_used, tier) and self._drawn_alike(video)

    def _closed(self, tier: SourcedTier) -> Closed | None:
        if tier.name not in self.inputs:
            return Closed("not_configured")
        offer = self.offers[tier.name]
        if offer.wait_until > time.time():
            return Closed(offer.reason, offer.error)
        if offer.cost_micros and self.spending == "nothing":
            return Closed("budget", OVER_BUDGET)
        return None

    def _drawn_alike(self, video: Video) -> bool:
        old = (self.store.sidecar(video) or {}).get("inputs")
        new = self.inputs.get(video.fallback_used) if video.fallback_used else None
        alike = bool(old and new) and _drawing(old or {}) == _drawing(new or {})
        return alike and self.store.intact(video)

    @property
    def _best(self) -> SourcedTier | None:
        return next((tier for tier in self.tiers if tier.name not in self.closed), None)

    def _better_than(self, video: Video) -> bool:
        best, shown = self._best, video.fallback_used
        return best is not None and shown is not None and _ranks_above(best.name, shown)

    def _best_shows(self, video: Video) -> bool:
        return self._best is not None and self.shows(video, self._best.name)

    def _judge_missing(self, video: Video | None) -> PlanItem:
        stored = self._stored()
        if stored is not None:
            return self._leave("renew", FOUND_ON_DISK, stored)
        if video is not None and video.status == "failed":
            return self._make("failed last time", video)
        return self._make("new", video)

    def _stored(self) -> Video | None:
        """Return the current film that the store has though the manifest does not."""
        sidecar = self.store.latest_sidecar(self.template)
        if sidecar is None:
            return None
        # The sidecar keeps the addresses of the day on which it was written.
        video = self.store.addressed(Video.from_fields(sidecar))
        return video if self._current(video) and self.store.intact(video) else None

    def _current(self, video: Video) -> bool:
        """Tell whether the tier that made the film would make the same one now."""
        tier = video.fallback_used
        return tier is not None and self.fingerprints.get(tier) == video.fingerprint

    def _differences(self, video: Video) -> tuple[str, ...]:
        old = (self.store.sidecar(video) or {}).get("inputs")
        new = self.inputs.get(video.fallback_used) if video.fallback_used else None
        return _causes(fingerprints.differences(old, new)) if old and new else ()

    def _make(
        self, reason: str, video: Video | None, differences: tuple[str, ...] = ()
    ) -> PlanItem:
        best = self._best
        tier = best.name if best else "text"
        cost = self.offers[best.name].cost_micros if best else FREE
        item = PlanItem(self.template, "make", reason, differences, tier, cost, video)
        return self._hindered(item)

    def _leave(self, action: Action, reason: str, video: Video) -> PlanItem:
        tier = video.fallback_used or "text"
        return self._hindered(PlanItem(self.template, action, reason, tier=tier, video=video))

    def _hindered(self, item: PlanItem) -> PlanItem:
        """Add why a better tier than the item's is not asked now."""
        for tier, closed in self.closed.items():
            if _ranks_above(tier, item.tier) and closed.reason not in _NO_OBSTACLES:
                obstacle, retry_at = closed.error or closed.reason, self.offers[tier].wait_until
                return item._replace(obstacle=obstacle, retry_at=retry_at)
        return item


def _ranks_above(better: Tier, worse: Tier) -> bool:
    return TIERS.index(better) < TIERS.index(worse)


def _drawing(inputs: Mapping[str, Any]) -> str:
    """Return the digest of all but the footage."""
    return fingerprints.digest({key: inputs[key] for key in inputs if key != "footage"})


def _causes(differences: Sequence[str]) -> tuple[str, ...]:
    """Put what a person edited first: a changed parameter explains the numbers and words."""
    lines = [line.removeprefix("template.") for line in differences]
    edited = [line for line in lines if line.startswith("parameters.")]
    rest = [line for line in lines if line not in edited]
    if not edited or not rest:
        return (*edited, *rest)
    return (*edited, f"and {len(rest)} more, such as {rest[0]}")
