"""Buying the footage of one film: the money is reserved before anything is sent."""

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

#: A provider that failed a job, charged or not, is asked for it once more, not for ever.
MAX_ATTEMPTS = 2


@dataclass(frozen=True)
class Purchase:
    """The orders of one film on their way from nothing to footage on disk."""

    brief: Brief
    provider: Provider
    footage: FootageStore
    progress: Progress

    def segments(self, scratch: Path) -> list[Order]:
        """Return the stored order of every part; raises TierUnavailable with the reason.

        Goes on with what an earlier purchase left, which may have been killed.
        """
        orders = [self._order(part) for part in self.brief.parts]
        if all(order.state == "stored" for order in orders):
            return orders
        self.provider.require_whole()
        delivery = Delivery(self.provider, self.footage, self.progress, len(orders))
        orders = self._reserved([delivery.reconciled(order) for order in orders])
        try:
            return delivery.deliver(orders, scratch)
        except TierUnavailable:
            self._give_back()
            raise

    def _order(self, part: int) -> Order:
        """Return the order that is to give us a part: the last one, or the next."""
        known = self.footage.orders(self.brief.template)
        mine = [
            item
            for item in known
            if (item.paid_fingerprint, item.part) == (self.brief.paid_fingerprint, part)
        ]
        if not mine:
            return self._new(part, attempt=1)
        last = max(mine, key=lambda order: order.attempt)
        if last.state == "failed":
            return self._after(last)
        if last.state == "refused":
            return self._new(part, last.attempt)
        if last.state == "stored" and not self.footage.intact(last):
            # It is paid for: the provider may still have it.
            return last._replace(state="submitted")
        return last

    def _after(self, failed: Order) -> Order:
        """Return the next attempt, unless it would fail in the same way."""
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
        """Reserve the money for all that has to be sent, or for none of it."""
        due = [order for order in orders if order.state == "intended"]
        if not due:
            return list(orders)
        # One at a time: what is reserved must be on disk before the next one reads the disk,
        # or a loss of Redis at this moment would open the budget a second time.
        with self.footage.locked():
            day = self._reserve(due)
            if day is None:
                raise self._over_budget(add_up(order.cost_micros for order in due))
            return [self._dated(order, day) if order in due else order for order in orders]

    def _reserve(self, due: Sequence[Order]) -> str | None:
        budget = self.provider.budget
        today = budget.today().date
        # What the disk knows of today, in case Redis has lost it.
        orders = self.footage.orders_of(today)
        journal = [order.charge for order in orders if order.state in (*CHARGED, "intended")]
        return budget.reserve([order.charge for order in due], journal=journal, journal_day=today)

    def _dated(self, order: Order, day: str) -> Order:
        if order.day not in ("", day):
            # Surely not sent on that day.
            self.provider.budget.release(order.day, order.id)
        return self.footage.record(order._replace(day=day))

    def _over_budget(self, amount: MicroUSD) -> TierUnavailable:
        left = self.provider.budget.today().left
        rest = "" if left is None else f": ${dollars(left)} of today's are left"
        return TierUnavailable(
            Obstacle("budget", f"footage for ${dollars(amount)} is over the daily budget{rest}"),
            hint="It is made up for on another day, or now with --ignore-budget.",
        )

    def _give_back(self) -> None:
        """Free the money of what was not sent: nobody knows when that will be."""
        for order in self.footage.orders(self.brief.template):
            if order.paid_fingerprint == self.brief.paid_fingerprint and order.state == "intended":
                self.footage.record(order._replace(state="refused"))
                self.provider.budget.release(order.day, order.id)
