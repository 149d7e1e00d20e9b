"""Environment variables that look like settings of vidgen and are not."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spritz_cli.cli import console
from spritz_cli.settings import VARIABLES, beside, shipped

PREFIX = "VIDGEN_"

#: How similar a name must be to be suggested; the common prefix makes all names similar.
ALIKE = 0.72

#: Read from the environment alone, because it is a secret.
API_KEY = "VIDGEN_API_KEY"


def unknown_variables(
    catalog: Path | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return each `VIDGEN_*` variable that nothing reads with the nearest that is read, or "".

    Profiles of providers may name variables of their own for keys: in the shipped file, and
    in the providers.yaml beside the catalog.
    """
    environ = os.environ if environ is None else environ
    known = {*VARIABLES.values(), API_KEY}
    names = [name for name, text in environ.items() if name.startswith(PREFIX) and text]
    if known.issuperset(names):
        return {}
    from difflib import get_close_matches

    known |= _named_in_profiles(catalog)
    return {
        name: "".join(get_close_matches(name, known, n=1, cutoff=ALIKE))
        for name in sorted(names)
        if name not in known
    }


def warn_of(unknown: Mapping[str, str]) -> None:
    """Write a warning for each of `unknown_variables`."""
    for name, nearest in unknown.items():
        suggestion = f"did you mean {nearest}?" if nearest else "see vidgen config."
        console.warning(f"{name} is set, but vidgen has no such setting; {suggestion}")


def _named_in_profiles(catalog: Path | None) -> set[str]:
    files = [shipped("providers.yaml"), *([beside(catalog, "providers.yaml")] if catalog else [])]
    names: set[str] = set()
    for file in files:
        # Commands that buy footage report what is wrong with a file.
        with suppress(OSError):
            names |= {*re.findall(rf"{PREFIX}\w+", file.read_text("utf-8", "replace"))}
    return names
