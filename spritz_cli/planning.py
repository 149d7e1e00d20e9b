"""What a run would do about each template, and why: compares the published with the wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from spritz_cli import fingerprints
from spritz_cli.models import Template, Tier, Video
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.tiers.base import FilmTier

Action = Literal["make", "renew", "keep"]

#: An entry with a smaller share of its life left is renewed by the run that sees it.
RENEWAL_SHARE = 0.25

FOUND_ON_DISK = "found on disk"
URL_PREFIX_CHANGED = "url prefix changed"


class SourcedTier(FilmTier, Protocol):
    """A tier that can tell, without drawing anything, what a film would be made from."""

    def inputs(self, template: Template) -> dict[str, Any]: ...


@dataclass(frozen=True)
class PlanItem:
    """What a run would do about one template, and why."""

    template: Template
    action: Action
    reason: str
    differences: tuple[str, ...] = ()
    tier: Tier = "static"
    cost_usd: float = 0.0
    video: Video | None = None


@dataclass(frozen=True)
class Plan:
    """One item per template, in the order of the catalog."""

    items: tuple[PlanItem, ...]

    def of(self, *actions: Action) -> tuple[PlanItem, ...]:
        return tuple(item for item in self.items if item.action in actions)

    @property
    def cost_usd(self) -> float:
        return sum(item.cost_usd for item in self.items)


def plan(
    templates: Sequence[Template],
    *,
    store: VideoStore,
    manifest: VideoManifest,
    tiers: Sequence[SourcedTier],
    force: bool = False,
) -> Plan:
    """Compare what is published with what the catalog asks for; changes nothing."""
    videos = manifest.peek_many(templates)
    lives = manifest.time_left(templates)
    items = (
        Judge(template, store, manifest, tiers).judge(video, seconds_left, force=force)
        for template, video, seconds_left in zip(templates, videos, lives, strict=True)
    )
    return Plan(tuple(items))


def fingerprint(template: Template, tiers: Sequence[SourcedTier]) -> str:
    """Return the digest of what the best tier would make the film from."""
    return fingerprints.digest(tiers[0].inputs(template))


@dataclass(frozen=True)
class Judge:
    """Decides about one template."""

    template: Template
    store: VideoStore
    manifest: VideoManifest
    tiers: Sequence[SourcedTier]

    def judge(
        self, video: Video | None, seconds_left: float | None, *, force: bool = False
    ) -> PlanItem:
        """Decide what has to be done, given the manifest's entry and how long it lives."""
        if force:
            return self._item("make", "forced", video)
        if video is None or video.status != "ready":
            return self._judge_missing(video)
        if not self._current(video):
            return self._item("make", "inputs changed", video, self._differences(video))
        if not self.store.intact(video):
            return self._item("make", "files missing", video)
        if (seconds_left or 0.0) < RENEWAL_SHARE * self.manifest.ttl_seconds:
            return self._item("renew", "expires soon", video)
        if video != self.store.addressed(video):
            return self._item("renew", URL_PREFIX_CHANGED, video)
        return self._item("keep", "up to date", video)

    def judge_now(self) -> PlanItem:
        """Decide by what the manifest says at this moment."""
        video = self.manifest.peek(self.template.persona, self.template.topic)
        return self.judge(video, self.manifest.time_left([self.template])[0])

    @cached_property
    def inputs(self) -> dict[Tier, dict[str, Any]]:
        """What each tier would make the film from."""
        return {tier.name: tier.inputs(self.template) for tier in self.tiers}

    @cached_property
    def fingerprints(self) -> dict[Tier, str]:
        return {name: fingerprints.digest(inputs) for name, inputs in self.inputs.items()}

    def _judge_missing(self, video: Video | None) -> PlanItem:
        stored = self._stored()
        if stored is not None:
            return self._item("renew", FOUND_ON_DISK, stored)
        if video is not None and video.status == "failed":
            return self._item("make", "failed last time", video)
        return self._item("make", "new", video)

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

    def _item(
        self,
        action: Action,
        reason: str,
        video: Video | None,
        differences: tuple[str, ...] = (),
    ) -> PlanItem:
        tier = self.tiers[0].name if action == "make" or video is None else video.fallback_used
        return PlanItem(self.template, action, reason, differences, tier or "text", 0.0, video)


def _causes(differences: Sequence[str]) -> tuple[str, ...]:
    """Put what a person edited first: a changed parameter explains the numbers and words."""
    lines = [line.removeprefix("template.") for line in differences]
    edited = [line for line in lines if line.startswith("parameters.")]
    rest = [line for line in lines if line not in edited]
    if not edited or not rest:
        return (*edited, *rest)
    return (*edited, f"and {len(rest)} more, such as {rest[0]}")
