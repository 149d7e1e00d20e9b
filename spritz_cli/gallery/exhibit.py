"""What a page shows of one film."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from spritz_cli.errors import StorageError
from spritz_cli.models import Template, TextCard, Video


class Media(Protocol):
    """A film's three files as `data:` addresses."""

    @property
    def film(self) -> str: ...
    @property
    def poster(self) -> str: ...
    @property
    def captions(self) -> str: ...


@dataclass(frozen=True)
class FilmFiles:
    """A film on disk, read anew whenever it is asked for: a page is larger than one film."""

    video: Path

    @property
    def film(self) -> str:
        return data_address(self.video, "video/mp4")

    @property
    def poster(self) -> str:
        return data_address(self.video.with_suffix(".webp"), "image/webp")

    @property
    def captions(self) -> str:
        return data_address(self.video.with_suffix(".vtt"), "text/vtt")


class EmbeddedFilm(NamedTuple):
    """A film as an earlier page holds it."""

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
    """One film of the page. `findings` is None where nobody looked for any.

    `state` says in words whether it is there; `inputs` is what it was made from.
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
        """Everything that the filter of the page looks at."""
        film = (self.name, self.persona, self.template.title, self.state)
        return " ".join((*film, *self.card, self.alt)).lower()

    def record(self) -> dict[str, Any]:
        """Return what a later page needs to know about this film."""
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


def data_address(path: Path, kind: str) -> str:
    """Return a file as an address that holds all of it."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be read: {exc.strerror}", hint="Run vidgen warm, then the same again."
        ) from exc
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
