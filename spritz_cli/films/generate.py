"""From a template to a published film: lease, tiers (best first), check, store, manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spritz_cli.errors import (
    EncoderKilled,
    FilmDamaged,
    InfrastructureError,
    LeaseLost,
    RenderError,
)
from spritz_cli.films.planning import (
    FOUND_ON_DISK as FOUND_ON_DISK,
    UPGRADE as UPGRADE,
    URL_PREFIX_CHANGED as URL_PREFIX_CHANGED,
    Action as Action,
    Closed,
    Judge,
    Plan as Plan,
    PlanItem as PlanItem,
    SourcedTier as SourcedTier,
    Spending as Spending,
    fingerprint as fingerprint,
    most_valuable_first as most_valuable_first,
    plan as plan,
)
from spritz_cli.media import ffmpeg
from spritz_cli.models import Outcome, OutcomeStatus, RenderedFilm, Template, Video, dollars
from spritz_cli.storage.leases import Lease, Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.tiers.base import Progress, TierUnavailable

Clock = Callable[[], datetime]

#: The share of the work that is done when the film is drawn and encoded.
DRAWN = 0.94
CHECKED = 0.98

#: Before a film is begun again whose encoder was killed, so that memory can be freed, in seconds.
KILLED_PAUSES = (1.0, 4.0)


def utc_now() -> datetime:
    return datetime.now(UTC)


def generate_video(
    template: Template,
    *,
    store: VideoStore,
    manifest: VideoManifest,
    leases: Leases,
    tiers: Sequence[SourcedTier],
    force: bool = False,
    spending: Spending = "capped",
    now: Clock = utc_now,
) -> Outcome:
    """Make one film and publish it, or find that there is nothing to do.

    `busy`: another process holds the lease. Raises InfrastructureError when the
    machine is the reason; what was published before stays published in any case.
    """
    began = time.monotonic()
    maker = _Maker(template, store, manifest, tiers, spending, force, now)
    status, video, error = _generate(maker, leases)
    seconds = round(time.monotonic() - began, 3)
    return Outcome(template.persona, template.topic, status, video, seconds, error)


def generate_when_free(
    template: Template,
    *,
    leases: Leases,
    force: bool = False,
    poll_seconds: float = 0.2,
    **collaborators: Any,
) -> Outcome:
    """Like generate_video, but wait while another process holds the lease."""
    while True:
        outcome = generate_video(template, leases=leases, force=force, **collaborators)
        if outcome.status != "busy":
            return outcome
        _wait_while_held(leases, template.key, poll_seconds)


def check_film(film: RenderedFilm, template: Template) -> None:
    """Decode a film that was just made; FilmDamaged if it is not what was asked for."""
    told = ffmpeg.probe(film.video)
    frame = told.duration_seconds / max(told.frames, 1)
    if abs(told.duration_seconds - template.duration_seconds) > frame * 1.01:
        raise FilmDamaged(
            f"{template.name}: the film lasts {told.duration_seconds:.2f} s, "
            f"not {template.duration_seconds} s"
        )
    if (told.width, told.height) != (film.width, film.height):
        raise FilmDamaged(
            f"{template.name}: the film is {told.width}×{told.height} px, "
            f"not {film.width}×{film.height} px"
        )


_Result = tuple[OutcomeStatus, Video | None, str | None]


def _generate(maker: _Maker, leases: Leases) -> _Result:
    if not maker.force and (done := maker.settle_without_lease()):
        return done
    lease = leases.acquire(maker.template.key)
    if lease is None:
        return "busy", None, None
    try:
        with lease:
            return maker.settle(lease)
    except LeaseLost:
        return "busy", None, None


def _wait_while_held(leases: Leases, key: str, poll_seconds: float) -> None:
    time.sleep(poll_seconds)
    while (holder := leases.holder(key)) and not holder.dead:
        time.sleep(poll_seconds)


@dataclass(frozen=True)
class _Made:
    film: RenderedFilm
    tier: SourcedTier
    missed: Closed | None


@dataclass(frozen=True)
class _Maker:
    """Makes one film, or finds that there is nothing to do."""

    template: Template
    store: VideoStore
    manifest: VideoManifest
    tiers: Sequence[SourcedTier]
    spending: Spending
    force: bool
    now: Clock

    @property
    def judge(self) -> Judge:
        """A new one for each look: meanwhile another run may have paid for footage."""
        return Judge(self.template, self.store, self.manifest, self.tiers, self.spending)

    def settle_without_lease(self) -> _Result | None:
        """Finish if the published film is current; only renewing it needs no lease."""
        item = self.judge.judge_now()
        if item.action == "make" or item.video is None or self._is_to_republish(item):
            return None
        if item.action == "renew":
            if not self.manifest.renew(item.video):
                return None
            # Else a cleanup after a loss of Redis might see it as long forgotten.
            self.store.freshen(item.video)
        return "unchanged", item.video, None

    def settle(self, lease: Lease) -> _Result:
        """Do what has to be done, looking again: another run may just have done it."""
        if self.force:
            return self._make(lease)
        return self.settle_without_lease() or self._restore(lease) or self._make(lease)

    def _is_to_republish(self, item: PlanItem) -> bool:
        """Whether the manifest lacks the film, or sends its readers to other addresses."""
        video = item.video
        moved = video is not None and video != self.store.addressed(video)
        return moved or item.reason == FOUND_ON_DISK

    def _restore(self, lease: Lease) -> _Result | None:
        """Publish the current film that is on disk, if there is one and it is undamaged."""
        item = self.judge.judge_now()
        if item.action != "renew" or item.video is None or not self.store.verify(item.video):
            return None
        video = self.store.addressed(item.video)
        self.store.freshen(video)
        self.manifest.publish(video, lease)
        return "unchanged", video, None

    def _make(self, lease: Lease) -> _Result:
        lease.report(0.0, "starting")
        self.manifest.mark_processing(self.template, lease)
        try:
            with self.store.staging() as scratch:
                made = self._film(scratch, lease)
                return self._publish(made, lease) if isinstance(made, _Made) else made
        except _NothingMade as exc:
            return self._give_up(exc.missed, lease)
        except InfrastructureError:
            with suppress(InfrastructureError, LeaseLost):
                # Nothing is wrong with the film: it is as good as not begun.
                self.manifest.withdraw_processing(self.template, lease)
            raise

    def _film(self, scratch: Path, lease: Lease) -> _Made | _Result:
        """Return the film of the best tier that can make it, checked.

        Where a better tier fails, the film that is published may be as good as
        what is left: then it stays.
        """
        missed: list[Closed] = []
        judge = self.judge
        for tier in self.tiers:
            if tier.name in judge.closed and not self._asks_anyway(judge.closed[tier.name]):
                missed.append(judge.closed[tier.name])
                continue
            if missed and (shown := self._shown(tier)):
                return "unchanged", shown, missed[0].error
            try:
                film = self._made_by(tier, scratch, lease)
            except TierUnavailable as exc:
                missed.append(Closed(exc.reason, exc.message))
            except RenderError as exc:
                missed.append(Closed("render_error", exc.message))
            else:
                return _Made(film, tier, missed[0] if missed else _unconfigured(tier))
        # That no provider is configured is no news; what went wrong is.
        raise _NothingMade(next((told for told in missed if told.error), missed[0]))

    def _made_by(self, tier: SourcedTier, scratch: Path, lease: Lease) -> RenderedFilm:
        """Return the tier's film, checked; begun again if the encoder was killed or starved.

        Where memory is short, a film may also be damaged, or only seem so, but not twice.
        """
        pauses = iter(KILLED_PAUSES)
        damaged = 0
        while True:
            try:
                film = tier.make(self.template, scratch, _reporter(lease))
                lease.report(DRAWN, "checking")
                check_film(film, self.template)
                return film
            except (EncoderKilled, FilmDamaged) as exc:
                damaged += isinstance(exc, FilmDamaged)
                pause = next(pauses, None)
                if pause is None or damaged > 1:
                    raise
                time.sleep(pause)

    def _asks_anyway(self, closed: Closed) -> bool:
        """Whoever says --force does not wait for the time of the next try."""
        return self.force and closed.reason not in ("not_configured", "budget")

    def _shown(self, tier: SourcedTier) -> Video | None:
        """Return the published film if the tier has nothing better to give."""
        video = self.manifest.peek(self.template.persona, self.template.topic)
        if video is None or not self.judge.shows(video, tier.name):
            return None
        # By force a tier makes its own film anew, but does not take the place of a better one.
        return None if self.force and video.fallback_used == tier.name else video

    def _publish(self, made: _Made, lease: Lease) -> _Result:
        lease.report(CHECKED, "publishing")
        lease.check()
        name, judge, source = made.tier.name, self.judge, made.film.source
        video = self.store.publish(
            made.film,
            self.template,
            tier=name,
            fingerprint=judge.fingerprints[name],
            inputs=judge.inputs[name],
            created_at=self.now().isoformat(timespec="milliseconds"),
            fallback_reason=made.missed.reason if made.missed else None,
            error=made.missed.error if made.missed else None,
            provider=source.provider if source else None,
            model=source.model if source else None,
            cost_usd=dollars(source.cost_micros) if source else None,
        )
        self.manifest.publish(video, lease)
        return "made", video, None

    def _give_up(self, missed: Closed, lease: Lease) -> _Result:
        """Leave the text card, or what was live before."""
        error = missed.error or missed.reason
        self.manifest.mark_failed(self.template, lease, error, missed.reason)
        return "failed", self.manifest.peek(self.template.persona, self.template.topic), error


def _unconfigured(best: SourcedTier) -> Closed | None:
    return None if best.name == "sora" else Closed("not_configured")


class _NothingMade(Exception):
    """No tier could make the film; `missed` is what the best of them said."""

    def __init__(self, missed: Closed) -> None:
        super().__init__(missed.error or missed.reason)
        self.missed = missed


def _reporter(lease: Lease) -> Progress:
    """Report a tier's progress; stops the work as soon as the lease is lost."""

    def report(share: float, stage: str = "drawing") -> None:
        if lease.lost:
            raise lease.lost_error()
        lease.report(share * DRAWN, stage)

    return report
