"""What Lua scripts and their callers share."""

from __future__ import annotations

#: Lua: the server's clock in milliseconds since the epoch, as `millis`.
NOW_MILLIS = """
local now = redis.call('TIME')
local millis = now[1] * 1000 + math.floor(now[2] / 1000)
"""


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least 1: an expiry of 0 would delete the key at once."""
    return max(1, round(seconds * 1000))
