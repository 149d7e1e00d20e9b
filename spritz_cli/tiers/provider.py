"""A configured provider of footage, with the budget and limits that all processes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from spritz_cli.errors import ProviderError, ProviderKind, UsageError
from spritz_cli.models import NEVER, MicroUSD, Obstacle, add_up
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.provider_state import Circuit, Gate, Slots
from spritz_cli.tiers.base import TierUnavailable
from spritz_cli.tiers.brief import Brief
from spritz_cli.videos_api.client import VideosAPI
from spritz_cli.videos_api.profile import Profile

#: A dead provider costs one call, not one per film of the run.
CIRCUIT_SECONDS = 600.0
_BREAKS_CIRCUIT: tuple[ProviderKind, ...] = ("auth", "quota", "unreachable")

#: Seconds until the next try after a failure; 0 where a user can repair the cause at once.
_RETRY_SECONDS: dict[str, float | None] = {
    "auth": 0.0,
    "quota": 0.0,
    "unreachable": 600.0,
    "rate": 600.0,
    "moderation": None,
}
_RETRY_OTHERWISE = 3600.0


@dataclass(frozen=True)
class Provider:
    """One provider. All processes share its budget, circuit, slots and gate through Redis."""

    profile: Profile
    model: str
    connect: Callable[[], VideosAPI]
    budget: DailyBudget
    circuit: Circuit
    slots: Slots
    gate: Gate
    deadline_seconds: float = 900.0
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def api(self) -> VideosAPI:
        """The client, created on first use; TierUnavailable if it cannot be created."""
        try:
            return self.connect()
        except UsageError as exc:
            raise self.unavailable(exc.message, 0.0, exc.hint) from exc

    def price(self, brief: Brief, parts: Collection[int]) -> MicroUSD | None:
        """Return the price of parts of a film, None if it is not known."""
        prices = [
            self.profile.price_micros(self.model, brief.size, brief.seconds[part - 1])
            for part in parts
        ]
        known = [price for price in prices if price is not None]
        return add_up(known) if len(known) == len(prices) else None

    def unpriced(self, brief: Brief) -> str:
        """Return the message about an unknown price."""
        what = f"{self.model} at {brief.size} from {self.profile.name}"
        return f"no price is known for {what}: set VIDGEN_PRICE_PER_SECOND_USD"

    def require_closed_circuit(self) -> None:
        """Raise TierUnavailable while the circuit is open."""
        broken = self.circuit.state()
        if broken:
            raise self.unavailable(broken.message, _retry_seconds(broken.reason))

    def note(self, exc: ProviderError) -> None:
        """Open the circuit if other requests would fail in the same way."""
        if exc.kind in _BREAKS_CIRCUIT:
            self.circuit.open(exc.kind, exc.message, CIRCUIT_SECONDS)

    def unavailable(
        self, message: str, retry_seconds: float | None, hint: str = ""
    ) -> TierUnavailable:
        """Return the error of a provider that cannot make a film now.

        `retry_seconds` from now it may be asked again; None: not until the order changes.
        """
        return TierUnavailable(self._obstacle("provider_error", message, retry_seconds), hint=hint)

    def declined(self, exc: ProviderError) -> TierUnavailable:
        """Return what a provider's error means for the film."""
        reason = "moderation" if exc.kind == "moderation" else "provider_error"
        obstacle = self._obstacle(reason, exc.message, _retry_seconds(exc.kind))
        return TierUnavailable(obstacle, hint=exc.hint)

    def _obstacle(self, reason: str, message: str, retry_seconds: float | None) -> Obstacle:
        until = NEVER if retry_seconds is None else self.clock() + retry_seconds
        return Obstacle(reason, message, until)


def _retry_seconds(kind: str) -> float | None:
    return _RETRY_SECONDS.get(kind, _RETRY_OTHERWISE)
