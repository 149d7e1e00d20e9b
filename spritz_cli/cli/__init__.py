"""The command line: the only part that parses, prints and exits."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from spritz_cli.errors import INTERRUPTED_EXIT_CODE, MissingLibrary, libraries_of

#: A start makes about sixty thousand objects; this many more are a few megabytes.
YOUNG_OBJECTS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as the console script does, and return its exit code."""
    # Looking for garbage while nearly everything is new, and once more at the end, would
    # take a fifth of the time of a short command.
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.freeze)
    code = _run(arguments)
    if code == INTERRUPTED_EXIT_CODE:
        # After an interrupt inside an exec(), which every dataclass runs, Python ends by that
        # signal whatever we return; another exec() makes it forget the first.
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
        # During the imports, or between the command and its end.
        return INTERRUPTED_EXIT_CODE
