"""Buys the footage of one film. Money is reserved before any order is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spritz_cli.models import NEVER, MicroUSD, Obstacle, add_up, dollars
from spritz_cli.storage.footage import CHARGED, FootageStore, Order
from spritz_cli.tiers.base import Progress, TierUnavailable
from spritz_cli.tiers.brief import Brief, request_digest
from spritz_cli.tiers.delivery import Delivery
from spritz_cli.tiers.provider import Provider

#: A job that the provider failed is ordered once more, then never again.
MAX_ATTEMPTS = 2


@dataclass(frozen=True)
class Purchase:
    """The purchase of one film: from no order to stored footage."""

    brief: Brief
    provider: Provider
    footage: FootageStore
    progress: Progress

    def segments(self, scratch: Path) -> list[Order]:
        """Return the stored order of every part; raises TierUnavailable with the reason.

        Continues an earlier purchase that was interrupted.
        """
        orders = [self._order(part) for part in self.brief.parts]
        if all(order.state == "stored" for order in orders):
            return orders
        self.provider.require_closed_circuit()
        delivery = Delivery(self.provider, self.footage, self.progress, len(orders))
        orders = self._reserved([delivery.reconciled(order) for order in orders])
        try:
            return delivery.deliver(orders, scratch)
        except TierUnavailable:
            self._give_back()
            raise

    def _order(self, part: int) -> Order:
        """Return the order for a part: the last one, or a new one if that is of no use."""
        known = self.footage.orders(self.brief.template)
        own = [
            item
            for item in known
            if (item.paid_fingerprint, item.part) == (self.brief.paid_fingerprint, part)
        ]
        if not own:
            return self._new(part, attempt=1)
        last = max(own, key=lambda order: order.attempt)
        if last.state == "failed":
            return self._after(last)
        if last.state == "refused":
            return self._new(part, last.attempt)
        if last.state == "stored" and not self.footage.intact(last):
            # It is paid for, so download it again.
            return last._replace(state="submitted")
        return last

    def _after(self, failed: Order) -> Order:
        """Return the next attempt; TierUnavailable if it would fail in the same way."""
        moderated = failed.error_kind == "moderation"
        if moderated or failed.attempt >= MAX_ATTEMPTS:
            reason = "moderation" if moderated else "provider_error"
            raise TierUnavailable(Obstacle(reason, failed.error or "the provider failed", NEVER))
        return self._new(failed.part, failed.attempt + 1)

    def _new(self, part: int, attempt: int) -> Order:
        brief, template = self.brief, self.brief.template
        name = f"{template.name} {brief.paid_fingerprint} {part} {attempt}"
        return Order(
            id=hashlib.sha256(name.encode()).hexdigest()[:16],
            template=template.name,
            request_digest=request_digest(template),
            paid_fingerprint=brief.paid_fingerprint,
            part=part,
            parts=len(brief.seconds),
            attempt=attempt,
            provider=self.provider.profile.name,
            model=self.provider.model,
            prompt=brief.prompt(part),
            size=brief.size,
            seconds=brief.seconds[part - 1],
            cost_micros=self._price(part),
            day="",
            created_at=self.provider.clock(),
        )

    def _price(self, part: int) -> MicroUSD:
        cost = self.provider.price(self.brief, [part])
        if cost is None:
            raise TierUnavailable(Obstacle("unpriced", self.provider.unpriced(self.brief)))
        return cost

    def _reserved(self, orders: Sequence[Order]) -> list[Order]:
        """Reserve the money for all orders that are to be sent, or for none."""
        due = [order for order in orders if order.state == "intended"]
        if not due:
            return list(orders)
        # One process at a time: a reservation must be on disk before the next process reads
        # the disk. Otherwise a loss of Redis in between would let both spend the same money.
        with self.footage.locked():
            day = self._reserve(due)
            if day is None:
                raise self._over_budget(add_up(order.cost_micros for order in due))
            return [self._dated(order, day) if order in due else order for order in orders]

    def _reserve(self, due: Sequence[Order]) -> str | None:
        budget = self.provider.budget
        today = budget.today().date
        # In case Redis has lost the charges of today.
        orders = self.footage.orders_of(today)
        journal = [order.charge for order in orders if order.state in (*CHARGED, "intended")]
        return budget.reserve([order.charge for order in due], journal=journal, journal_day=today)

    def _dated(self, order: Order, day: str) -> Order:
        if order.day not in ("", day):
            # It was certainly not sent on that day.
            self.provider.budget.release(order.day, order.id)
        return self.footage.record(order._replace(day=day))

    def _over_budget(self, amount: MicroUSD) -> TierUnavailable:
        left = self.provider.budget.today().left
        rest = "" if left is None else f": ${dollars(left)} of today's are left"
        return TierUnavailable(
            Obstacle("budget", f"footage for ${dollars(amount)} is over the daily budget{rest}"),
            hint="It is bought on another day, or now with --ignore-budget.",
        )

    def _give_back(self) -> None:
        """Release the money of orders that were not sent: it is not known when they will be."""
        for order in self.footage.orders(self.brief.template):
            if order.paid_fingerprint == self.brief.paid_fingerprint and order.state == "intended":
                self.footage.record(order._replace(state="refused"))
                self.provider.budget.release(order.day, order.id)
