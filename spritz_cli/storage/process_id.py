"""Ids of processes, to tell whether the process that wrote a record is still alive."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path

PROC = Path("/proc")


def process_id() -> str:
    """Return an id of this process that is unique across hosts and time.

    Form: boot id : pid namespace : pid : start time. Without /proc the host part
    is random, so that no other process takes it for its own host.
    """
    pid = os.getpid()
    return f"{_host()}:{pid}:{_start_time(pid) or 0}"


def pid_of(identity: str) -> int:
    """Return the pid within `identity`, 0 if there is none."""
    parts = identity.split(":")
    return int(parts[2]) if len(parts) == 4 and parts[2].isdigit() else 0


def is_dead(identity: str) -> bool:
    """True only if the process ran on this host and is certainly gone."""
    pid = pid_of(identity)
    if not pid or not identity.startswith(f"{_host()}:"):
        return False
    if not _exists(pid):
        return True
    # A process that exists but cannot be read may be the same one: assume that it is.
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
    # The second field, the name of the program, may contain spaces and brackets.
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
