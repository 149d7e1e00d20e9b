"""Tell whether the process that wrote a record is still the one that lives."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path

PROC = Path("/proc")


def process_id() -> str:
    """Return an id of this process that no other process, now or later, shares.

    Form: boot id : pid namespace : pid : start time. A machine without /proc
    gets a random host part, which no other process recognises as its own.
    """
    pid = os.getpid()
    return f"{_host()}:{pid}:{_start_time(pid) or 0}"


def pid_of(identity: str) -> int:
    """Return the pid within `identity`, 0 if there is none."""
    parts = identity.split(":")
    return int(parts[2]) if len(parts) == 4 and parts[2].isdigit() else 0


def is_dead(identity: str) -> bool:
    """True only if the process was on this host and is certainly gone."""
    pid = pid_of(identity)
    if not pid or not identity.startswith(f"{_host()}:"):
        return False
    if not _exists(pid):
        return True
    # A process that is there but cannot be read may be the one: presume it lives.
    started = _start_time(pid)
    return started is not None and f":{started}" != identity[identity.rindex(":") :]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    fields = _stat(pid)
    return fields is not None and fields[0] in ("Z", "X")


def _start_time(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str] | None:
    # The second field is the program's name, which may itself hold spaces and brackets.
    try:
        return (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None


@cache
def _host() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return f"{uuid.uuid4()}:0"
    return f"{boot}:{namespace}"
