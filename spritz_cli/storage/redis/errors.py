"""Translates errors of the redis library: none of them leaves the storage package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spritz_cli.errors import RedisUnavailable

if TYPE_CHECKING:
    from redis.exceptions import RedisError


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate every error of the redis library into RedisUnavailable."""
    try:
        yield
    except Exception as exc:
        from redis.exceptions import RedisError

        if not isinstance(exc, RedisError):
            raise
        raise RedisUnavailable(f"Redis: {str(exc) or type(exc).__name__}", hint=_hint(exc)) from exc


def is_wrong_type(error: Exception) -> bool:
    """Whether the server refused a command because the key holds another type of value."""
    # Old servers put the name of the script first.
    return "WRONGTYPE" in str(error)


def _hint(exc: RedisError) -> str:
    from redis import exceptions

    if isinstance(exc, exceptions.OutOfMemoryError):
        return "The server is full: raise its maxmemory, or delete other data from it."
    if isinstance(exc, exceptions.ReadOnlyError):
        return "This server is a replica: set REDIS_URL to the primary."
    if isinstance(exc, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return "Check the user and password in REDIS_URL and the rights of that user."
    if isinstance(exc, exceptions.ConnectionError | exceptions.TimeoutError):
        return "Check that the server of REDIS_URL runs and can be reached, then try again."
    return "Run `vidgen doctor` to check the server."
