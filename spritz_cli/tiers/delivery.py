"""Delivers reserved orders as footage on disk. Each is sent once, even across kills.

An order is recorded before its request is sent, and the provider's id right after
the answer. The next process continues from the record: it sends orders that
were certainly not sent, asks the provider about those that may have been, and
never sends these again without an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from spritz_cli.errors import (
    EncoderKilled,
    OutcomeUnknown,
    ProviderError,
    RenderError,
    StillRunning,
)
from spritz_cli.media import ffmpeg
from spritz_cli.media.montage import Clip
from spritz_cli.models import MicroUSD, dollars
from spritz_cli.scene import tokens
from spritz_cli.storage.footage import FootageStore, Order
from spritz_cli.tiers.base import Progress, TierUnavailable
from spritz_cli.tiers.compositing import LEAST_SHARE
from spritz_cli.tiers.provider import Provider
from spritz_cli.videos_api.client import RemoteJob, VideoRequest

MAX_DOWNLOADS = 3
MAX_SENDINGS = 3

LONGEST_RATE_LIMIT = 120.0
PAUSE_SECONDS = 0.5
SOON = 600.0
#: Seconds until the provider is asked again about an order with unknown outcome.
ASK_AGAIN_SECONDS = 3600.0


@dataclass
class Delivery:
    """The orders of one film of `parts` segments, and the slots that they hold."""

    provider: Provider
    footage: FootageStore
    progress: Progress
    parts: int
    _slots: set[str] = field(default_factory=set)
    _shares: dict[int, float] = field(default_factory=dict)

    def reconciled(self, order: Order) -> Order:
        """Find out whether an order that may have been sent has arrived.

        Returns it as `submitted`, or as `intended` if it certainly did not arrive.
        """
        if order.state not in ("sending", "unknown"):
            return order
        known = {item.remote_id for item in self.footage.all_orders() if item.remote_id}
        longest = self.provider.profile.reconcile_after_seconds
        since = order.sent_at or order.created_at
        while True:
            job = self._find(order, since, known)
            if job:
                return self._record(order, state="submitted", remote_id=job.id, error=None)
            waited = self.provider.clock() - since
            if waited >= longest:
                # The list of the provider is complete and does not contain it.
                return self._record(order, state="intended", error=None)
            self._pause(min(2.0, longest - waited))

    def deliver(self, orders: Sequence[Order], scratch: Path) -> list[Order]:
        """Send and collect the orders, as many at a time as the provider allows."""
        stored: dict[int, Order] = {}
        sent: list[Order] = []
        left = list(orders)
        try:
            while left or sent:
                if left and self._may_send(left[0], others=bool(sent)):
                    order = left.pop(0)
                    sent.append(self._sent(order) if order.state == "intended" else order)
                else:
                    order = sent.pop(0)
                    stored[order.part] = self._collected(order, scratch)
                    self._free_slot(order.id)
        finally:
            for owner in list(self._slots):
                self._free_slot(owner)
        return [stored[order.part] for order in orders]

    # Slots and pauses

    def _may_send(self, order: Order, *, others: bool) -> bool:
        """Take a slot for an order. Waits for one unless `others` are under way."""
        if order.state == "stored":
            return True
        give_up = self.provider.clock() + self.provider.deadline_seconds
        while not self.provider.slots.acquire(order.id):
            if others:
                return False
            if self.provider.clock() > give_up:
                raise self.provider.unavailable("the provider was busy with other films", SOON)
            self._pause()
        self._slots.add(order.id)
        return True

    def _free_slot(self, owner: str) -> None:
        self.provider.slots.release(owner)
        self._slots.discard(owner)

    def _pause(self, seconds: float = PAUSE_SECONDS) -> None:
        # In small steps, because progress() raises when the lease is lost.
        end = self.provider.clock() + seconds
        while True:
            self._keep_alive()
            left = end - self.provider.clock()
            if left <= 0:
                return
            self.provider.sleep(min(left, PAUSE_SECONDS))

    def _watch(self, order: Order, share: float) -> None:
        self._shares[order.part] = share
        self._keep_alive()

    def _keep_alive(self) -> None:
        """Renew the slots and report progress, which raises if the lease is lost."""
        for owner in self._slots:
            self.provider.slots.renew(owner)
        self.progress(sum(self._shares.values()) / self.parts)

    # Sending

    def _sent(self, order: Order) -> Order:
        """Send an order until the provider accepts it; TierUnavailable if it refuses."""
        for sending in range(1, MAX_SENDINGS + 1):
            try:
                order = self.reconciled(self._sent_once(order))
                break
            except ProviderError as exc:
                if sending == MAX_SENDINGS or not _is_worth_a_wait(exc):
                    raise self._refused(order, exc) from exc
                self._pause(exc.retry_after or 1.0)
        if order.state != "submitted":
            # Left to the next run: the list of the provider may lag behind.
            lost = ProviderError("an order did not reach the provider", kind="server")
            raise self._refused(order, lost)
        return order

    def _sent_once(self, order: Order) -> Order:
        """Send the request exactly once and record the result."""
        # First, so that a client that cannot be made does not leave an order in `sending`.
        api = self.provider.api
        while not self.provider.gate.enter(order.id):
            self._pause()
        proven = False
        try:
            self.provider.require_closed_circuit()
            order = self._record(order, state="sending", sent_at=self.provider.clock())
            job = api.submit(_request(order), idempotency_key=order.id)
            proven = True
            # Before anything else: Redis, which keeps the gate, may be gone by now.
            return self._record(order, state="submitted", remote_id=job.id)
        except OutcomeUnknown as exc:
            return self._record(order, state="unknown", error=exc.message)
        except ProviderError as exc:
            self._record(order, state="refused", error_kind=exc.kind, error=exc.message)
            # Before leaving the gate, so that no other process asks a provider known to be dead.
            self.provider.note(exc)
            raise
        finally:
            self.provider.gate.leave(order.id, proven=proven)

    def _refused(self, order: Order, exc: ProviderError) -> TierUnavailable:
        """Record that the provider refused an order, and release its money."""
        self._record(order, state="refused", error_kind=exc.kind, error=exc.message)
        self.provider.budget.release(order.day, order.id)
        return self.provider.declined(exc)

    def _find(self, order: Order, since: float, known: Collection[str]) -> RemoteJob | None:
        try:
            return self.provider.api.find(_request(order), since=since, known=known)
        except ProviderError as exc:
            if order.state != "unknown":
                self._record(order, state="unknown", error=exc.message)
            raise self.provider.unavailable(
                f"it is not known whether the provider accepted an order: {exc.message}",
                ASK_AGAIN_SECONDS,
                hint=f"${dollars(order.cost_micros)} stay held; "
                "the next run asks the provider again.",
            ) from exc

    # Collecting

    def _collected(self, order: Order, scratch: Path) -> Order:
        """Wait for a submitted order and store its footage."""
        if order.state == "stored":
            return order
        job = self._awaited(order)
        if job.status == "failed":
            raise self._failed(order, job)
        path = scratch / f"{order.id}.part.mp4"
        try:
            self.provider.api.download(job, path)
            clip = _decoded(order, path)
        except EncoderKilled:
            # Not the fault of the footage.
            raise
        except (ProviderError, RenderError) as exc:
            raise self._undelivered(order, job, exc.message) from exc
        record = self.footage.adopt(order, path)
        return self._record(
            order,
            state="stored",
            cost_micros=self._settle(order, job),
            error=None,
            frames=clip.frames,
            fps=tokens.FPS,
            matrix=clip.matrix,
            **record,
        )

    def _awaited(self, order: Order) -> RemoteJob:
        try:
            return self.provider.api.wait(
                order.remote_id or "",
                seconds_left=self.provider.deadline_seconds,
                on_progress=partial(self._watch, order),
            )
        except StillRunning as exc:
            raise self.provider.unavailable(exc.message, SOON, exc.hint) from exc
        except ProviderError as exc:
            self.provider.note(exc)
            if exc.kind == "lost":
                self._write_off(order, exc)
            raise self.provider.declined(exc) from exc

    def _failed(self, order: Order, job: RemoteJob) -> TierUnavailable:
        cause = job.error or ProviderError("the provider failed without a reason", kind="server")
        self._write_off(order, cause, job)
        return self.provider.declined(cause)

    def _undelivered(self, order: Order, job: RemoteJob, error: str) -> TierUnavailable:
        """Record that a finished job has no usable footage; write it off after some attempts."""
        if order.failures + 1 >= MAX_DOWNLOADS:
            self._write_off(order, ProviderError(error, kind="server"), job)
        else:
            self._record(order, state="submitted", failures=order.failures + 1, error=error)
        return self.provider.unavailable(error, SOON)

    def _write_off(self, order: Order, cause: ProviderError, job: RemoteJob | None = None) -> None:
        """Record that an accepted order failed. The provider may charge for it."""
        cost = self._settle(order, job)
        self._record(
            order,
            state="failed",
            cost_micros=cost,
            error_kind=cause.kind,
            error=cause.message,
        )

    def _settle(self, order: Order, job: RemoteJob | None) -> MicroUSD:
        reported = job.cost_micros if job else None
        cost = order.cost_micros if reported is None else reported
        self.provider.budget.settle(order.day, order.id, cost, template=order.template)
        return cost

    def _record(self, order: Order, **changes: Any) -> Order:
        return self.footage.record(order._replace(**changes))


def _decoded(order: Order, path: Path) -> Clip:
    """Decode a segment; raises RenderError if it is damaged or much too short."""
    clip = ffmpeg.footage(path, tokens.FPS)
    if clip.frames < LEAST_SHARE * order.seconds * tokens.FPS:
        raise RenderError(
            f"the provider delivered {clip.frames / tokens.FPS:.1f} s of footage, "
            f"not {order.seconds} s"
        )
    return clip


def _is_worth_a_wait(exc: ProviderError) -> bool:
    return exc.kind == "rate" and (exc.retry_after or 0.0) <= LONGEST_RATE_LIMIT


def _request(order: Order) -> VideoRequest:
    return VideoRequest(order.prompt, order.model, order.size, order.seconds)
