"""Reads an earlier page and compares its films with the current ones."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from spritz_cli.errors import UsageError
from spritz_cli.fingerprints import differences
from spritz_cli.gallery.exhibit import EmbeddedFilm, Exhibit

#: Major version of the record in a page; readers ignore unknown fields.
SCHEMA = 1
RECORD_ID = "vidgen"

_WHICH_PAGE = "Give --against the HTML file that an earlier `vidgen gallery` wrote."


@dataclass(frozen=True)
class Earlier:
    """An earlier page: its records and films by name."""

    made_at: str
    records: Mapping[str, Mapping[str, Any]]
    media: Mapping[str, EmbeddedFilm]

    def only(self, persona: str, topic: str) -> Earlier:
        """Return the page reduced to the films that two globs name."""
        wanted = f"{persona}/{topic}"
        kept = {name: item for name, item in self.records.items() if fnmatchcase(name, wanted)}
        return replace(self, records=kept)


@dataclass(frozen=True)
class Change:
    """A film that changed, with the state that it had and the causes, one per line.

    `before` is None if the earlier page holds the same film, or none.
    """

    exhibit: Exhibit
    was: str
    causes: Sequence[str]
    before: EmbeddedFilm | None
    same_film: bool


@dataclass(frozen=True)
class Comparison:
    """Every film of two pages, by what happened to it."""

    since: str
    changed: Sequence[Change] = ()
    new: Sequence[Exhibit] = ()
    removed: Sequence[str] = ()
    unchanged: Sequence[Exhibit] = ()


def read_page(path: Path) -> Earlier:
    """Return the content of an earlier page; raises UsageError if the file is no such page."""
    reader = _PageReader()
    try:
        reader.feed(path.read_text("utf-8"))
        record = json.loads("".join(reader.record))
        if record["schema"] != SCHEMA:
            raise UsageError(
                f"{path} was written by another version of vidgen ({record['version']})",
                hint="Write it again with this version.",
            )
        records = {str(film["name"]): dict(film) for film in record["films"]}
        made_at = str(record["made_at"])
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}", hint=_WHICH_PAGE) from exc
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise UsageError(f"{path} is not a page of `vidgen gallery`", hint=_WHICH_PAGE) from exc
    films = {name: _embedded(reader.films.get(name, {})) for name in records}
    media = {name: film for name, film in films.items() if film and _is_intact(film, records[name])}
    return Earlier(made_at, records, media)


def compare(exhibits: Sequence[Exhibit], earlier: Earlier) -> Comparison:
    """Sort the films of two pages by what happened between them."""
    known = [item for item in exhibits if item.name in earlier.records]
    changes = {item.name: _change(item, earlier) for item in known}
    return Comparison(
        since=earlier.made_at,
        changed=[change for change in changes.values() if change],
        new=[item for item in exhibits if item not in known],
        removed=sorted(earlier.records.keys() - {item.name for item in exhibits}),
        unchanged=[item for item in known if not changes[item.name]],
    )


def _change(exhibit: Exhibit, earlier: Earlier) -> Change | None:
    old, new = earlier.records[exhibit.name], exhibit.record()
    same_film = old.get("sha256") == new["sha256"]
    causes = _causes(old, new)
    if same_film and not causes:
        return None
    before = None if same_film else earlier.media.get(exhibit.name)
    return Change(exhibit, str(old.get("state", "")), causes, before, same_film)


def _causes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    causes = [
        f"{name}: {old.get(name)} → {new[name]}"
        for name in ("state", "title")
        if old.get(name) != new[name]
    ]
    if old.get("inputs") and new["inputs"]:
        changes = differences(old["inputs"], new["inputs"])
        lines = [line.removeprefix("template.") for line in changes]
        # Parameters first: people edit them, and they explain the other changes.
        causes += sorted(lines, key=lambda line: not line.startswith("parameters."))
    return causes


class _PageReader(HTMLParser):
    """Collects the record of a page and its named films."""

    def __init__(self) -> None:
        super().__init__()
        self.record: list[str] = []
        self.films: dict[str, dict[str, str]] = {}
        self._film: dict[str, str] = {}
        self._in_record = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: text or "" for name, text in attrs}
        self._in_record = tag == "script" and values.get("id") == RECORD_ID
        if tag == "video":
            # A film without a name is the older one of a comparison.
            named = "data-film" in values
            self._film = self.films.setdefault(values["data-film"], {}) if named else {}
            self._film["poster"] = values.get("poster", "")
        elif tag in ("source", "track"):
            self._film["film" if tag == "source" else "captions"] = values.get("src", "")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - HTMLParser passes it
        self._in_record = False

    def handle_data(self, data: str) -> None:
        if self._in_record:
            self.record.append(data)


_DATA_URL = re.compile(r"data:(?:video/mp4|image/webp|text/vtt);base64,([A-Za-z0-9+/]*={0,2})")


def _embedded(parts: Mapping[str, str]) -> EmbeddedFilm | None:
    urls = [parts.get(name, "") for name in EmbeddedFilm._fields]
    return EmbeddedFilm(*urls) if all(map(_DATA_URL.fullmatch, urls)) else None


def _is_intact(film: EmbeddedFilm, record: Mapping[str, Any]) -> bool:
    content = base64.b64decode(film.film.partition(",")[2])
    return hashlib.sha256(content).hexdigest() == record.get("sha256")
