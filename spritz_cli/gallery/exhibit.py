"""The content of the page for one film."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from spritz_cli.errors import StorageError
from spritz_cli.models import Template, TextCard, Video


class Media(Protocol):
    """A film's three files as `data:` URLs."""

    @property
    def film(self) -> str: ...
    @property
    def poster(self) -> str: ...
    @property
    def captions(self) -> str: ...


@dataclass(frozen=True)
class FilmFiles:
    """A film on disk; each access reads a file, so that memory never holds the whole page."""

    video: Path

    @property
    def film(self) -> str:
        return data_url(self.video, "video/mp4")

    @property
    def poster(self) -> str:
        return data_url(self.video.with_suffix(".webp"), "image/webp")

    @property
    def captions(self) -> str:
        return data_url(self.video.with_suffix(".vtt"), "text/vtt")


class EmbeddedFilm(NamedTuple):
    """A film from an earlier page, as `data:` URLs."""

    film: str
    poster: str
    captions: str


class Fact(NamedTuple):
    """A labelled line; `full` is the long form of a text that was cut."""

    label: str
    text: str
    full: str = ""


@dataclass(frozen=True)
class Exhibit:
    """One film of the page.

    `state` says in words whether the film exists. `findings` is None if the film was not
    linted. `inputs` is what the film was made from.
    """

    template: Template
    state: str
    video: Video | None = None
    media: Media | None = None
    facts: Sequence[Fact] = ()
    findings: Sequence[str] | None = None
    inputs: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.template.name

    @property
    def persona(self) -> str:
        """The persona in words."""
        return self.template.persona.replace("_", " ").capitalize()

    @property
    def anchor(self) -> str:
        return f"{self.template.persona}-{self.template.topic}"

    @property
    def card(self) -> TextCard:
        """The text card as it is published, or as it would be."""
        if self.video is None:
            return self.template.card
        return TextCard(self.video.text_headline, self.video.text_body, self.video.text_action)

    @property
    def alt(self) -> str:
        return self.video.alt if self.video else self.template.alt

    @property
    def searchable(self) -> str:
        """The text that the filter of the page searches, in lower case."""
        film = (self.name, self.persona, self.template.title, self.state)
        return " ".join((*film, *self.card, self.alt)).lower()

    def record(self) -> dict[str, Any]:
        """Return what a later page needs for a comparison, as plain JSON values."""
        shown = self.video if self.media else None
        return {
            "name": self.name,
            "title": self.template.title,
            "state": self.state,
            "fingerprint": shown and shown.fingerprint,
            "sha256": shown and shown.sha256,
            "created_at": shown and shown.created_at,
            "inputs": self.inputs if shown else None,
        }


def data_url(path: Path, kind: str) -> str:
    """Return a whole file as a `data:` URL; raises StorageError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be read: {exc.strerror}", hint="Run vidgen warm, then try again."
        ) from exc
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
