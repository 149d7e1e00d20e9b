"""Plan a run: compare what is published with what the catalog asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from spritz_cli import fingerprints
from spritz_cli.films.studio import Studio
from spritz_cli.models import FREE, TIERS, MicroUSD, Obstacle, Spending, Template, Tier, Video
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.tiers.base import FilmTier, Offer

Action = Literal["make", "renew", "keep"]

#: An entry with less than this share of its lifetime left is renewed.
RENEWAL_SHARE = 0.25

#: Digits of a digest that are enough to tell two versions of a file apart.
SHORT = 12

FORCED = "forced"
FOUND_ON_DISK = "found on disk"
URL_PREFIX_CHANGED = "url prefix changed"
UPGRADE = "generated footage is due"
OVER_BUDGET = "today's budget for generated footage is used up"

#: Obstacles that a plan does not report.
_NO_NEWS = ("not_configured", "budget")


class PlanItem(NamedTuple):
    """What a run would do about one template, and why.

    `cost_micros` is what new footage would cost in micro-dollars, `owed_micros` what it
    would cost if today's budget allowed it; `spending` is what the film may cost
    when it is made. `obstacle` says why a better tier is not asked now.
    """

    template: Template
    action: Action
    reason: str
    differences: tuple[str, ...] = ()
    tier: Tier = "static"
    cost_micros: MicroUSD = FREE
    video: Video | None = None
    owed_micros: MicroUSD = FREE
    obstacle: Obstacle | None = None
    spending: Spending = "capped"

    @property
    def cost_usd(self) -> float:
        return self.cost_micros / 1_000_000

    @property
    def forced(self) -> bool:
        """Whether the film is made even if the published one is current."""
        return self.reason == FORCED

    def is_new(self, video: Video) -> bool:
        """Whether a published film is not the one that was published when this was planned."""
        planned = self.video
        return planned is None or (planned.sha256, planned.created_at) != (
            video.sha256,
            video.created_at,
        )


def plan(
    studio: Studio,
    templates: Sequence[Template],
    *,
    force: bool = False,
    spending: Spending = "capped",
) -> tuple[PlanItem, ...]:
    """Compare what is published with what the catalog asks for, item by template; changes nothing.

    Films that the studio's budget does not cover are planned without new footage,
    unless `spending` is `unlimited`.
    """
    videos = studio.manifest.peek_many(templates)
    entries = zip(videos, studio.manifest.time_left(templates), strict=True)
    known = dict(zip([template.key for template in templates], entries, strict=True))

    def judged(template: Template, spending: Spending) -> PlanItem:
        judge = Judge(studio, template, spending)
        return judge.judge(*known[template.key], force=force)

    # Look at the store after the manifest was read: all that it lists exists by then.
    with studio.store.snapshot(list(map(_looked_for, templates, videos))):
        items = {template.key: judged(template, spending) for template in templates}
        if spending == "capped":
            for item in _unaffordable(items.values(), studio.budget):
                thrifty = judged(item.template, "nothing")
                items[item.template.key] = thrifty._replace(owed_micros=item.cost_micros)
    return tuple(items.values())


def most_valuable_first(items: Iterable[PlanItem]) -> list[PlanItem]:
    """Order the films for the budget: highest priority first, then the oldest film."""
    return sorted(items, key=lambda item: (-item.template.priority, _age(item)))


def fingerprint(template: Template, tiers: Sequence[FilmTier]) -> str:
    """Return the digest of what the best tier would make the film from."""
    inputs = (tier.inputs(template) for tier in tiers)
    return fingerprints.digest(next(document for document in inputs if document is not None))


def ingredients(template: Template, tiers: Sequence[FilmTier]) -> dict[str, str]:
    """Return a short digest of everything that decides the drawing, by name.

    It is equal on all hosts with the same files and libraries, with or without a provider.
    The drawing over footage counts for every film: otherwise hosts that differ in it would
    remake each other's films as soon as there is footage.
    """
    texts, scenes, renderer = "", dict[str, str](), dict[str, Any]()
    for tier in reversed(tiers):
        drawing = tier.drawing(template)
        texts = fingerprints.digest({"template": drawing.pop("template", None)})
        for name, digest in drawing.pop("scene", {}).items():
            known = scenes.setdefault(f"svg_templates/{name}", digest)
            if known != digest:
                # The user's own scenes, and ours over footage.
                scenes[f"svg_templates/{name} of {tier.name}"] = digest
        renderer |= drawing
    digests = {"templates.yaml": texts, **scenes, "renderer": fingerprints.digest(renderer)}
    return {name: digest[:SHORT] for name, digest in digests.items()}


@dataclass(frozen=True)
class Judge:
    """Decides what is due for one template. It reads everything once and keeps it."""

    studio: Studio
    template: Template
    spending: Spending = "capped"

    def judge(
        self, video: Video | None, seconds_left: float | None, *, force: bool = False
    ) -> PlanItem:
        """Decide what is due, given the manifest's entry and the seconds it has left."""
        if force:
            return self._make(FORCED, video)
        if video is None or video.status != "ready":
            return self._judge_missing(video)
        if not self._current(video) and not self._best_shows(video):
            return self._make("inputs changed", video, self._differences(video))
        if not self.studio.store.intact(video):
            return self._make("files missing", video)
        if self._better_than(video):
            return self._make(UPGRADE, video)
        if (seconds_left or 0.0) < RENEWAL_SHARE * self.studio.manifest.ttl_seconds:
            return self._leave("renew", "expires soon", video)
        if video != self.studio.store.addressed(video):
            return self._leave("renew", URL_PREFIX_CHANGED, video)
        return self._leave("keep", "up to date", video)

    def judge_now(self, *, force: bool = False) -> PlanItem:
        """Decide by the manifest's entry as it is now."""
        manifest = self.studio.manifest
        video = manifest.peek(self.template.persona, self.template.topic)
        return self.judge(video, manifest.time_left([self.template])[0], force=force)

    @cached_property
    def inputs(self) -> dict[Tier, dict[str, Any]]:
        """What each tier that can make the film would make it from."""
        inputs = ((tier.name, tier.inputs(self.template)) for tier in self.studio.tiers)
        return {name: document for name, document in inputs if document is not None}

    @cached_property
    def fingerprints(self) -> dict[Tier, str]:
        return {name: fingerprints.digest(inputs) for name, inputs in self.inputs.items()}

    @cached_property
    def offers(self) -> dict[Tier, Offer]:
        return {tier.name: tier.offer(self.template) for tier in self.studio.tiers}

    @cached_property
    def obstacles(self) -> dict[Tier, Obstacle]:
        """The tiers that are not to be asked now, and why."""
        obstacles = ((tier.name, self._obstacle(tier)) for tier in self.studio.tiers)
        return {name: obstacle for name, obstacle in obstacles if obstacle}

    def shows(self, video: Video | None, tier: Tier) -> bool:
        """Whether a published film is what a tier would make, or better.

        Better: footage of an earlier order with the same drawing on top.
        """
        if video is None or video.status != "ready" or video.fallback_used is None:
            return False
        if video.fallback_used == tier:
            return self._current(video) and self.studio.store.intact(video)
        return _ranks_above(video.fallback_used, tier) and self._drawn_alike(video)

    def _obstacle(self, tier: FilmTier) -> Obstacle | None:
        if tier.name not in self.inputs:
            return Obstacle("not_configured")
        offer = self.offers[tier.name]
        if offer.obstacle and offer.obstacle.until > self.studio.clock().timestamp():
            return offer.obstacle
        if offer.cost_micros and self.spending == "nothing":
            return Obstacle("budget", OVER_BUDGET)
        return None

    def _drawn_alike(self, video: Video) -> bool:
        old = (self.studio.store.sidecar(video) or {}).get("inputs")
        new = self.inputs.get(video.fallback_used) if video.fallback_used else None
        alike = bool(old and new) and _drawing(old or {}) == _drawing(new or {})
        return alike and self.studio.store.intact(video)

    @property
    def _best(self) -> FilmTier | None:
        return next((tier for tier in self.studio.tiers if tier.name not in self.obstacles), None)

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
        """Return the current film if the store has it and the manifest does not."""
        sidecar = self.studio.store.latest_sidecar(self.template)
        if sidecar is None:
            return None
        # The URLs in a sidecar are those of the day it was written.
        video = self.studio.store.addressed(Video.from_fields(sidecar))
        return video if self._current(video) and self.studio.store.intact(video) else None

    def _current(self, video: Video) -> bool:
        """Whether the tier that made the film would make the same one now."""
        tier = video.fallback_used
        return tier is not None and self.fingerprints.get(tier) == video.fingerprint

    def _differences(self, video: Video) -> tuple[str, ...]:
        old = (self.studio.store.sidecar(video) or {}).get("inputs")
        new = self.inputs.get(video.fallback_used) if video.fallback_used else None
        return _causes(fingerprints.differences(old, new)) if old and new else ()

    def _make(
        self, reason: str, video: Video | None, differences: tuple[str, ...] = ()
    ) -> PlanItem:
        best = self._best
        tier = best.name if best else "text"
        cost = self.offers[best.name].cost_micros if best else FREE
        return self._item("make", reason, differences, tier, cost, video)

    def _leave(self, action: Action, reason: str, video: Video) -> PlanItem:
        return self._item(action, reason, (), video.fallback_used or "text", FREE, video)

    def _item(
        self,
        action: Action,
        reason: str,
        differences: tuple[str, ...],
        tier: Tier,
        cost: MicroUSD,
        video: Video | None,
    ) -> PlanItem:
        return PlanItem(
            self.template,
            action,
            reason,
            differences,
            tier,
            cost,
            video,
            obstacle=self._news_of_better_than(tier),
            spending=self.spending,
        )

    def _news_of_better_than(self, tier: Tier) -> Obstacle | None:
        """Return why a better tier is not asked now, unless that is no news."""
        for name, obstacle in self.obstacles.items():
            if _ranks_above(name, tier) and obstacle.reason not in _NO_NEWS:
                return obstacle
        return None


def _looked_for(template: Template, video: Video | None) -> Template | Video:
    return video if video and video.status == "ready" else template


def _unaffordable(items: Iterable[PlanItem], budget: DailyBudget | None) -> list[PlanItem]:
    """Return the items that today's budget does not cover."""
    priced = most_valuable_first(item for item in items if item.cost_micros)
    left = budget.today().left if budget and priced else None
    if left is None:
        return []
    sums = accumulate(item.cost_micros for item in priced)
    return [item for item, total in zip(priced, sums, strict=True) if total > left]


def _age(item: PlanItem) -> str:
    # ISO 8601 in one zone sorts by time; a template without a film goes first.
    return (item.video.created_at or "") if item.video else ""


def _ranks_above(better: Tier, worse: Tier) -> bool:
    return TIERS.index(better) < TIERS.index(worse)


def _drawing(inputs: Mapping[str, Any]) -> str:
    """Return the digest of all but the footage."""
    return fingerprints.digest({key: inputs[key] for key in inputs if key != "footage"})


def _causes(differences: Sequence[str]) -> tuple[str, ...]:
    """Put edited parameters first: they explain the changed numbers and words."""
    lines = [line.removeprefix("template.") for line in differences]
    edited = [line for line in lines if line.startswith("parameters.")]
    rest = [line for line in lines if line not in edited]
    if not edited or not rest:
        return (*edited, *rest)
    return (*edited, f"and {len(rest)} more, such as {rest[0]}")
