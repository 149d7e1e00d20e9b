"""The bytes of a configuration file, and the name under which messages speak of it."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def read_source(path: Path, max_bytes: int) -> bytes:
    """Return at most `max_bytes` + 1 bytes of a regular file; raises OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # Opening a pipe without a writer blocks for ever, and a device may have no end.
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(max_bytes + 1)


def shown(path: Path) -> str:
    """Return the path as seen from the working directory, if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
