"""Measures the result of one step of a case: films, orders, the bill and our own count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from spritz_cli.models import FREE, MicroUSD, micros
from tests.gateways.project import USD_PER_SECOND, Project
from tests.gateways.proxy import CountingProxy


@dataclass(frozen=True)
class Tally:
    """Orders that vidgen sent, orders that arrived at the provider, and micro-dollars."""

    sent: int
    arrived: int
    charged: MicroUSD
    counted: MicroUSD

    def __sub__(self, other: Tally) -> Tally:
        return Tally(
            self.sent - other.sent,
            self.arrived - other.arrived,
            MicroUSD(self.charged - other.charged),
            MicroUSD(self.counted - other.counted),
        )


def tally(
    sent: int, usd: float = 0, *, arrived: int | None = None, counted: float | None = None
) -> Tally:
    """Return an expected tally; by default every order arrives and the whole bill is counted."""
    return Tally(
        sent,
        sent if arrived is None else arrived,
        micros(usd),
        micros(usd if counted is None else counted),
    )


@dataclass(frozen=True)
class Row:
    """The actual and the expected result of a step."""

    gateway: str
    case: str
    outcome: str
    tally: Tally
    expected: tuple[str, Tally]

    @property
    def is_right(self) -> bool:
        return (self.outcome, self.tally) == self.expected


@dataclass
class Desk:
    """A project that buys through a gateway; `provider` returns its orders and its bill in $."""

    gateway: str
    project: Project
    proxy: CountingProxy
    provider: Callable[[], tuple[int, float]]
    _seen: Tally = field(default_factory=lambda: Tally(0, 0, FREE, FREE))

    def step(
        self,
        case: str,
        outcome: str,
        expected: Tally,
        do: Callable[[], object] | None = None,
        also: Callable[[], str] | None = None,
    ) -> Row:
        """Warm the catalog, or call `do`; the result of `also` is added to the outcome."""
        if do:
            do()
        else:
            self.project.vidgen("warm", "--all", "--sync")
        seen = self.project.outcome()
        if also:
            seen = f"{seen}; {also()}"
        return Row(self.gateway, case, seen, self._since(), (outcome, expected))

    def _since(self) -> Tally:
        arrived, usd = self.provider()
        now = Tally(len(self.proxy.orders), arrived, micros(usd), self.project.counted_micros())
        before, self._seen = self._seen, now
        return now - before


def counted_by(proxy: CountingProxy) -> Callable[[], tuple[int, float]]:
    """Return the bill of a provider that charges for every order that it accepts."""

    def bill() -> tuple[int, float]:
        return len(proxy.orders), proxy.accepted_seconds * USD_PER_SECOND

    return bill
