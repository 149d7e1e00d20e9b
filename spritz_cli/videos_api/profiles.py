"""The providers that vidgen knows, and those that a user describes: found by name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from spritz_cli.errors import UsageError
from spritz_cli.videos_api.profile import Profile

__all__ = ["Profile", "load_profile", "profile_names"]


def load_profile(name: str, files: Sequence[Path]) -> Profile:
    """Return one profile; later files are laid over earlier ones, missing files are skipped.

    Raises UsageError if no file has it, or if any file is not valid.
    """
    # It needs the YAML library, which is slow to load.
    from spritz_cli.videos_api.profile_files import build, read_entries

    entries = read_entries(files)
    if name not in entries:
        close = get_close_matches(name, entries, n=1)
        known = f"Known: {', '.join(sorted(entries))}; more may stand in a providers.yaml."
        raise UsageError(
            f"there is no provider “{name}”", hint=f"Did you mean {close[0]}?" if close else known
        )
    return build(name, entries)


def profile_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of all profiles, in the order of the files."""
    from spritz_cli.videos_api.profile_files import read_entries

    return tuple(read_entries(files))
