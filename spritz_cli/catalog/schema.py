"""The entries of `templates.yaml`, and what its fields must be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from spritz_cli.catalog.findings import cut, dotted
from spritz_cli.catalog.strict_yaml import Location
from spritz_cli.catalog.validation import Expected, Strict

VERSION = 1
MAX_TEMPLATES = 5_000
MAX_PERSONAS = 1_000

DEFAULT_STYLE = "educational, supportive"
DEFAULT_SCENE = "card.svg.j2"

_Id = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
_Seconds = Annotated[float, Field(ge=0, le=60)]


def _dated(text: str) -> str:
    date.fromisoformat(text)
    return text


_Date = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(_dated)]


class PersonaEntry(Strict):
    accent: Literal["indigo", "teal", "berry", "green"]
    topics: Annotated[tuple[_Id, ...], Field(min_length=1, max_length=100)]


class CardEntry(Strict):
    headline: _Text
    body: _Text
    action: _Text


class CaptionEntry(Strict):
    start: _Seconds
    end: _Seconds
    text: _Text


class FigureEntry(Strict):
    value: _Text
    format: Literal["usd", "usd2", "pct", "pct2", "number"]
    label: _Text


class TemplateEntry(Strict):
    persona: _Id
    topic: _Id
    title: _Text
    duration_seconds: Annotated[int, Field(ge=5, le=60)]
    prompt_template: _Text
    visual_metaphor: _Text
    style: _Text = DEFAULT_STYLE
    fallback_static: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}\.svg\.j2$")] = DEFAULT_SCENE
    takeaway: _Text
    card: CardEntry
    alt: _Text
    captions: Annotated[tuple[CaptionEntry, ...], Field(min_length=1, max_length=60)]
    figures: Annotated[tuple[FigureEntry, ...], Field(min_length=1, max_length=3)]
    parameters: dict[str, Any] = Field(default_factory=dict)
    review_by: _Date | None = None
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    take: Annotated[int, Field(ge=1, le=1_000)] = 1


class CatalogEntry(Strict):
    version: Literal[1]
    personas: Annotated[dict[_Id, PersonaEntry], Field(min_length=1, max_length=MAX_PERSONAS)]
    templates: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MAX_TEMPLATES)]


_ID = Expected(
    "1–64 of a–z, 0–9 and _",
    "Use lower-case letters, digits and underscores: the name becomes a folder.",
)

VERSION_HINT = f"Write “version: {VERSION}”; this vidgen reads no other."

#: Field -> what it must be, what to do.
EXPECTED: Mapping[str, Expected] = {
    "version": Expected(f"{VERSION}", VERSION_HINT),
    "personas": Expected(
        f"a mapping of 1–{MAX_PERSONAS:,} personas",
        "Indent “name: {accent: …, topics: […]}” below.",
    ),
    "templates": Expected(
        f"a list of 1–{MAX_TEMPLATES:,} templates", "Add templates: “- persona: …”."
    ),
    "persona": _ID,
    "topic": _ID,
    "topics[]": _ID,
    "[key]": _ID,
    "accent": Expected("indigo, teal, berry or green", "Choose one of the four colours."),
    "topics": Expected("a list of 1–100 topics", "List the topics of the persona in brackets."),
    "duration_seconds": Expected("5–60", "Set a whole number of seconds from 5 to 60."),
    "fallback_static": Expected(
        "a file name such as card.svg.j2",
        "Name a file of svg_templates: lower-case letters, digits and _, then .svg.j2.",
    ),
    "captions": Expected(
        "a list of 1–60 captions", "Add lines “- {start: 0.3, end: 2.9, text: …}”."
    ),
    "start": Expected("0–60 seconds", "Set seconds from the beginning of the film, such as 0.3."),
    "end": Expected("0–60 seconds", "Set seconds from the beginning of the film, such as 2.9."),
    "figures": Expected(
        "a list of 1–3 key figures",
        "Add lines “- {value: payment, format: usd, label: …}”.",
    ),
    "value": Expected(
        "the name of a parameter or result",
        "Write a name such as payment, or a path such as debts[0].balance.",
    ),
    "format": Expected("usd, usd2, pct, pct2 or number", "Choose one of the five formats."),
    "review_by": Expected("a date such as 2027-06-30", 'Write it in quotes: "2027-06-30".'),
    "priority": Expected("−1,000–1,000", "Set a whole number; the highest gets footage first."),
    "take": Expected(
        "1–1,000", "Set a whole number; a higher one buys other footage of the same prompt."
    ),
}


def name_of(catalog: Any, at: Location) -> str:
    """Name a location of a catalog as people do: `persona/topic: card.headline`."""
    if at[:1] != ("templates",) or len(at) < 2:
        return dotted(at)
    entry, rest = f"templates[{at[1]}]", at[2:]
    match catalog["templates"][at[1]]:
        case {"persona": str(persona), "topic": str(topic)}:
            entry = f"{cut(persona)}/{cut(topic)}"
    return f"{entry}: {dotted(rest)}" if rest else entry
