"""Sizes, spans and ages as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from spritz_cli.errors import UsageError
from spritz_cli.models import MicroUSD, dollars

SPAN = r"(\d+(?:\.\d+)?)\s*([smhd]?)"
UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size(count: float | None) -> str:
    """Write bytes in decimal units: 412 kB, 1.2 MB."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count:.0f} B"
    units = iter(("kB", "MB", "GB", "TB"))
    unit = next(units)
    count /= 1000
    while count >= 999.5 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"


def span(seconds: float) -> str:
    """Write a length of time in its two largest units: 4.2 s, 2 min 5 s, 3 h 20 min, 12 d."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d"


def age(moment: str | None, now: datetime | None = None) -> str:
    """Write how long ago an ISO 8601 moment was; empty if it is not known."""
    if not moment:
        return ""
    past = datetime.fromisoformat(moment)
    return span(max(0.0, ((now or datetime.now(UTC)) - past).total_seconds()))


def parse_span(text: str) -> float:
    """Read a length of time, e.g. 90, 90s, 15m, 1.5h or 2d, as seconds."""
    match = re.fullmatch(SPAN, text.strip().lower())
    if not match:
        raise UsageError(
            f"“{text}” is not a length of time", hint="Write it as 90s, 15m, 1.5h or 2d."
        )
    return float(match[1]) * UNIT_SECONDS[match[2]]


def usd(amount: MicroUSD | None) -> float | None:
    """Return dollars, as JSON documents say them; None stays None."""
    return None if amount is None else amount / 1_000_000


def price(amount: MicroUSD) -> str:
    """Write micro-dollars as an amount: $1.60, or as exactly as it takes: $0.0375."""
    return f"${dollars(amount)}"


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun: 1 film, 20 films."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"
