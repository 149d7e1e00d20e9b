"""Writes the page.

It is one file: films, posters, captions and the font are embedded as `data:` URLs, and its
Content-Security-Policy forbids loading anything else. It also holds a record of its films
as JSON, so that a later page can be compared with it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from spritz_cli.errors import UsageError
from spritz_cli.gallery.comparison import RECORD_ID, SCHEMA, Comparison
from spritz_cli.gallery.exhibit import Exhibit, Fact, data_url
from spritz_cli.scene import tokens
from spritz_cli.scene.font import font_file
from spritz_cli.templating import page_environment

TEMPLATE = "page.html.j2"
ACCENTS = ("indigo", "teal", "berry", "green")


@dataclass(frozen=True)
class Page:
    """The content of the page; `made_at` in ISO 8601, `made` the same in words."""

    title: str
    made_at: str
    made: str
    version: str
    exhibits: Sequence[Exhibit]
    summary: Sequence[Fact] = ()
    comparison: Comparison | None = None
    sections: Sequence[Section] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", _sections(self.exhibits))


@dataclass(frozen=True)
class Section:
    """The films of one persona."""

    title: str
    accent: str
    exhibits: Sequence[Exhibit]


def write_page(page: Page, path: Path) -> int:
    """Write the page film by film and return its size in bytes.

    `path` never holds a partial page. Raises UsageError if it cannot be written.
    """
    with _written_beside(path) as file:
        for piece in _environment().get_template(TEMPLATE).generate(_values(page)):
            file.write(piece.encode())
        return file.tell()


def _sections(exhibits: Sequence[Exhibit]) -> list[Section]:
    by_persona: dict[str, list[Exhibit]] = {}
    for exhibit in exhibits:
        by_persona.setdefault(exhibit.persona, []).append(exhibit)
    return [Section(name, films[0].template.accent, films) for name, films in by_persona.items()]


def _values(page: Page) -> dict[str, Any]:
    return {
        "page": page,
        "record": {
            "schema": SCHEMA,
            "version": page.version,
            "made_at": page.made_at,
            "films": [exhibit.record() for exhibit in page.exhibits],
        },
        "record_id": RECORD_ID,
        "accents": {name: tokens.COLOURS[name] for name in ACCENTS},
        "font": data_url(font_file(), "font/ttf"),
    }


def _environment() -> Any:
    environment = page_environment(Path(__file__).parent)
    environment.filters["digest"] = _digest
    return environment


def _digest(text: str) -> str:
    """Return the source expression of an inline script or style for the CSP."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@contextmanager
def _written_beside(path: Path) -> Iterator[IO[bytes]]:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            yield file
        scratch.replace(path)
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file with --out."
        ) from exc
    finally:
        with suppress(OSError):
            scratch.unlink()
