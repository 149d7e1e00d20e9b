"""The command line: the only part that parses, prints and exits."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as the console script does, and return its exit code."""
    from spritz_cli.cli.app import run

    return run(arguments)
