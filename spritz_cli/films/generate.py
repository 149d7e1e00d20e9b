"""Make a planned film and publish it: lease, tiers (best first), check, store, manifest."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spritz_cli.errors import (
    EncoderKilled,
    FilmDamaged,
    InfrastructureError,
    LeaseLost,
    RenderError,
)
from spritz_cli.films.planning import FOUND_ON_DISK, Judge, PlanItem
from spritz_cli.films.studio import Studio
from spritz_cli.media import ffmpeg
from spritz_cli.models import (
    Obstacle,
    Outcome,
    OutcomeStatus,
    RenderedFilm,
    Template,
    Video,
    dollars,
)
from spritz_cli.storage.leases import Lease, Leases
from spritz_cli.tiers.base import FilmTier, Progress, TierUnavailable

#: The share of the work that is done when the film is drawn and encoded.
DRAWN = 0.94
CHECKED = 0.98


def generate_video(studio: Studio, item: PlanItem) -> Outcome:
    """Make one film and publish it, or find that there is nothing to do.

    The outcome is `busy` if another process holds the lease. Raises InfrastructureError
    if the machine fails. What was published before stays published in any case.
    """
    began = time.monotonic()
    status, video, error = _Maker(studio, item).generate()
    seconds = round(time.monotonic() - began, 3)
    template = item.template
    return Outcome(template.persona, template.topic, status, video, seconds, error)


def generate_when_free(studio: Studio, item: PlanItem, *, poll_seconds: float = 0.2) -> Outcome:
    """Like generate_video, but wait while another process holds the lease."""
    while True:
        outcome = generate_video(studio, item)
        if outcome.status != "busy":
            return outcome
        _wait_while_held(studio.leases, item.template.key, poll_seconds)


def check_film(film: RenderedFilm, template: Template) -> None:
    """Decode a new film; raise FilmDamaged if its length or size is wrong."""
    probe = ffmpeg.probe(film.video)
    frame = probe.duration_seconds / max(probe.frames, 1)
    if abs(probe.duration_seconds - template.duration_seconds) > frame * 1.01:
        raise FilmDamaged(
            f"{template.name}: the film lasts {probe.duration_seconds:.2f} s, "
            f"not {template.duration_seconds} s"
        )
    if (probe.width, probe.height) != (film.width, film.height):
        raise FilmDamaged(
            f"{template.name}: the film is {probe.width}×{probe.height} px, "
            f"not {film.width}×{film.height} px"
        )


_Result = tuple[OutcomeStatus, Video | None, str | None]


def _wait_while_held(leases: Leases, key: str, poll_seconds: float) -> None:
    time.sleep(poll_seconds)
    while (holder := leases.holder(key)) and not holder.dead:
        time.sleep(poll_seconds)


@dataclass(frozen=True)
class _Made:
    film: RenderedFilm
    tier: FilmTier
    missed: Obstacle | None


@dataclass(frozen=True)
class _Maker:
    """Makes one film, or finds that there is nothing to do."""

    studio: Studio
    item: PlanItem

    def generate(self) -> _Result:
        if not self.item.forced and (done := self._settle_without_lease(self._look()[1])):
            return done
        lease = self.studio.leases.acquire(self.item.template.key)
        if lease is None:
            return "busy", None, None
        try:
            with lease:
                return self._settle(lease)
        except LeaseLost:
            return "busy", None, None

    def _look(self) -> tuple[Judge, PlanItem]:
        """Look at the template as it is now: once before the lease, once under it."""
        judge = Judge(self.studio, self.item.template, self.item.spending)
        return judge, judge.judge_now(force=self.item.forced)

    def _settle_without_lease(self, item: PlanItem) -> _Result | None:
        """Return the result if the published film is current. Renewing an entry needs no lease."""
        if item.action == "make" or item.video is None or self._is_to_republish(item):
            return None
        if item.action == "renew":
            if not self.studio.manifest.renew(item.video):
                return None
            # Or a cleanup after a loss of Redis would take the film for expired.
            self.studio.store.freshen(item.video)
        return "unchanged", item.video, None

    def _settle(self, lease: Lease) -> _Result:
        """Look again, since another run may have made the film meanwhile, and do what is due."""
        judge, item = self._look()
        if self.item.forced:
            return self._make(judge, lease)
        return (
            self._settle_without_lease(item)
            or self._restore(item, lease)
            or self._make(judge, lease)
        )

    def _is_to_republish(self, item: PlanItem) -> bool:
        """Whether the manifest lacks the film, or lists it under other URLs."""
        video = item.video
        moved = video is not None and video != self.studio.store.addressed(video)
        return moved or item.reason == FOUND_ON_DISK

    def _restore(self, item: PlanItem, lease: Lease) -> _Result | None:
        """Publish the current film that is on disk, if it is there and undamaged."""
        store = self.studio.store
        if item.action != "renew" or item.video is None or not store.verify(item.video):
            return None
        video = store.addressed(item.video)
        store.freshen(video)
        self.studio.manifest.publish(video, lease)
        return "unchanged", video, None

    def _make(self, judge: Judge, lease: Lease) -> _Result:
        lease.report(0.0, "starting")
        manifest, template = self.studio.manifest, self.item.template
        manifest.mark_processing(template, lease)
        try:
            with self.studio.store.staging() as scratch:
                made = self._film(judge, scratch, lease)
                return self._publish(made, judge, lease) if isinstance(made, _Made) else made
        except _NothingMade as exc:
            return self._give_up(exc.missed, lease)
        except InfrastructureError:
            with suppress(InfrastructureError, LeaseLost):
                # The film itself is fine: leave it as if it had not been started.
                manifest.withdraw_processing(template, lease)
            raise

    def _film(self, judge: Judge, scratch: Path, lease: Lease) -> _Made | _Result:
        """Return the checked film of the best tier that can make it.

        If a better tier fails and the published film is as good as what the next tier
        would make, the published film stays.
        """
        missed: list[Obstacle] = []
        for tier in self.studio.tiers:
            obstacle = judge.obstacles.get(tier.name)
            if obstacle and not self._ignores(obstacle):
                missed.append(obstacle)
                continue
            if missed and (shown := self._shown(judge, tier)):
                return "unchanged", shown, missed[0].message or None
            try:
                film = self._made_by(tier, scratch, lease)
            except TierUnavailable as exc:
                missed.append(exc.obstacle)
            except RenderError as exc:
                missed.append(Obstacle("render_error", exc.message))
            else:
                return _Made(film, tier, missed[0] if missed else _unconfigured(tier))
        # Report what went wrong rather than that no provider is configured.
        raise _NothingMade(next((item for item in missed if item.message), missed[0]))

    def _made_by(self, tier: FilmTier, scratch: Path, lease: Lease) -> RenderedFilm:
        """Return the tier's checked film; retry after a killed encoder or a damaged film."""

        def attempt() -> RenderedFilm:
            film = tier.make(self.item.template, scratch, _reporter(lease), self.item.spending)
            lease.report(DRAWN, "checking")
            check_film(film, self.item.template)
            return film

        # A shortage of memory damages one film, hardly two in a row.
        kills = self.studio.retries
        damages = replace(kills, pauses=kills.pauses[:1])
        return damages.call(lambda: kills.call(attempt, EncoderKilled), FilmDamaged)

    def _ignores(self, obstacle: Obstacle) -> bool:
        """Whether --force tries a tier before its next scheduled attempt."""
        return self.item.forced and obstacle.reason not in ("not_configured", "budget")

    def _shown(self, judge: Judge, tier: FilmTier) -> Video | None:
        """Return the published film if the tier would make nothing better."""
        template = self.item.template
        video = self.studio.manifest.peek(template.persona, template.topic)
        if video is None or not judge.shows(video, tier.name):
            return None
        # --force replaces a film of the same tier, never one of a better tier.
        return None if self.item.forced and video.fallback_used == tier.name else video

    def _publish(self, made: _Made, judge: Judge, lease: Lease) -> _Result:
        lease.report(CHECKED, "publishing")
        lease.check()
        name, source, missed = made.tier.name, made.film.source, made.missed
        video = self.studio.store.publish(
            made.film,
            self.item.template,
            tier=name,
            fingerprint=judge.fingerprints[name],
            inputs=judge.inputs[name],
            created_at=self.studio.clock().isoformat(timespec="milliseconds"),
            fallback_reason=missed.reason if missed else None,
            error=(missed.message or None) if missed else None,
            provider=source.provider if source else None,
            model=source.model if source else None,
            cost_usd=dollars(source.cost_micros) if source else None,
        )
        self.studio.manifest.publish(video, lease)
        return "made", video, None

    def _give_up(self, missed: Obstacle, lease: Lease) -> _Result:
        """Publish only the text card, or keep the film that was live before."""
        error, template = missed.message or missed.reason, self.item.template
        manifest = self.studio.manifest
        manifest.mark_failed(template, lease, error, missed.reason)
        return "failed", manifest.peek(template.persona, template.topic), error


def _unconfigured(best: FilmTier) -> Obstacle | None:
    return None if best.name == "sora" else Obstacle("not_configured")


class _NothingMade(Exception):
    """No tier could make the film; `missed` is the obstacle to report."""

    def __init__(self, missed: Obstacle) -> None:
        super().__init__(missed.message or missed.reason)
        self.missed = missed


def _reporter(lease: Lease) -> Progress:
    """Return a callback that reports a tier's progress and raises once the lease is lost."""

    def report(share: float, stage: str = "drawing") -> None:
        if lease.lost:
            raise lease.lost_error()
        lease.report(share * DRAWN, stage)

    return report
