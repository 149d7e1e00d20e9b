"""The bundled font. Separate from `text`, because a plan needs its digest but no shaper."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import fontpkg_figtree

from spritz_cli.errors import MissingLibrary

FAMILY = "Figtree"


def font_file() -> Path:
    """Return the bundled variable font (upright)."""
    folder = Path(fontpkg_figtree.__file__).parent / "files"
    path = folder / f"{FAMILY}[wght].ttf"
    if not path.is_file():
        raise MissingLibrary(
            f"the font {FAMILY} is missing: {path}", hint="Reinstall the package fontpkg-figtree."
        )
    return path


@cache
def font_digest() -> str:
    """Return the SHA-256 of the font file, for the fingerprint."""
    return hashlib.sha256(font_file().read_bytes()).hexdigest()
