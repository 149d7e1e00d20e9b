"""The command line: the only part that parses, prints and exits."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from spritz_cli.errors import MissingLibrary, libraries_of

INTERRUPTED = 130

#: A start makes about sixty thousand; as many pieces of garbage are a few megabytes.
YOUNG_OBJECTS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as the console script does, and return its exit code."""
    # To look for garbage while nearly everything is new, and once more at the end, would
    # take a fifth of the time of a short command.
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.freeze)
    code = _run(arguments)
    if code == INTERRUPTED:
        # Interrupted within an exec(), which every dataclass has, Python would end itself by
        # that signal whatever we return; another exec() makes it forget.
        exec("")  # noqa: S102
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with libraries_of("spritz-vidgen"):
            from spritz_cli.cli.app import run

        return run(arguments)
    except MissingLibrary as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        # While all that is imported, or between the command and its end.
        return INTERRUPTED
