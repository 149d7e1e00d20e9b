"""How one provider departs from the shape of the OpenAI Videos API, and what it charges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Literal
from urllib.parse import urlsplit

from spritz_cli.errors import UsageError
from spritz_cli.models import MicroUSD

Scalar = str | int | float | bool

#: Any model or size that is not named itself.
ANY = "*"


@dataclass(frozen=True)
class Profile:
    """One provider: its address, its dialect, its limits and its prices.

    `auth` is "bearer", "header:<Name>" or "none". `extra_fields` and
    `extra_headers` go with every order. `prices` are US dollars per second, per
    model and size. Without `lists` the list of jobs may hide some.
    `retired` gives the first day on which a model (or "*", all) is gone.
    """

    name: str
    base_url: str
    model: str
    allowed_seconds: tuple[int, ...]
    sizes: tuple[str, ...]
    auth: str = "bearer"
    api_key_env: tuple[str, ...] = ("VIDGEN_API_KEY", "OPENAI_API_KEY")
    encoding: Literal["multipart", "json"] = "multipart"
    seconds_field: str = "seconds"
    seconds_type: Literal["str", "int"] = "str"
    size_field: str | None = "size"
    send_model: bool = True
    content: Literal["endpoint", "job_url"] = "endpoint"
    lists: bool = True
    extra_fields: Mapping[str, Scalar] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    max_in_flight: int = 2
    retired: Mapping[str, date] = field(default_factory=dict)
    reconcile_after_seconds: float = 60.0

    def price_micros(self, model: str, size: str, seconds: int) -> MicroUSD | None:
        """Return what one segment costs in micro-dollars, rounded up; None if not known."""
        per_size = self.prices.get(model, self.prices.get(ANY, {}))
        usd = per_size.get(size, per_size.get(ANY))
        if usd is None:
            return None
        return MicroUSD(int((usd * seconds * 1_000_000).to_integral_value(ROUND_CEILING)))

    def is_priced(self, model: str) -> bool:
        """Whether any price is known for a model."""
        return bool(self.prices.get(model, self.prices.get(ANY)))

    def priced(self, usd_per_second: float) -> Profile:
        """Return this profile with one price for every model and size."""
        return replace(self, prices={ANY: {ANY: Decimal(str(usd_per_second))}})

    def is_retired(self, today: date, model: str | None = None) -> bool:
        """Whether the provider has shut down this model (its default one if None)."""
        days = (self.retired.get(ANY), self.retired.get(model or self.model))
        return any(day <= today for day in days if day)

    def plan_seconds(self, duration: float) -> tuple[int, ...]:
        """Return the lengths of the segments that cover `duration`, the longest first.

        As little footage as the allowed lengths permit, then as few segments,
        then as even ones: 18 is 12 + 8 of (4, 8, 12), and 9 + 9 of 1–15.
        """
        wanted = max(1, math.ceil(duration))
        # Of one sum and count the most even choice has the smallest sum of squares.
        best: dict[int, tuple[int, int, tuple[int, ...]]] = {0: (0, 0, ())}
        for total in range(1, wanted + max(self.allowed_seconds)):
            ways = [
                (count + 1, squares + length**2, (*lengths, length))
                for length in self.allowed_seconds
                if total - length in best
                for count, squares, lengths in [best[total - length]]
            ]
            if ways:
                best[total] = min(ways)
        enough = min(total for total in best if total >= wanted)
        return tuple(sorted(best[enough][2], reverse=True))


def is_base_url(text: str) -> bool:
    """Whether requests can be sent below this address, and it holds no secret."""
    try:
        parts = urlsplit(text)
        valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or " " in text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and valid_port and plain


def checked_base_url(text: str) -> str:
    """Return an address without its final slash; raises UsageError if it cannot be one."""
    url = text.strip().rstrip("/")
    if not is_base_url(url):
        raise UsageError(
            "the provider's base_url must be an address such as https://host/v1",
            hint="Set VIDGEN_BASE_URL without user, “?” and “#”.",
        )
    return url
