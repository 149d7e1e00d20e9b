"""The values that modules pass to each other: frozen, complete, without I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NewType, get_args

from spritz_cli.errors import UsageError

Tier = Literal["sora", "static", "text"]
Status = Literal["processing", "ready", "failed"]

#: Best first.
TIERS: tuple[Tier, ...] = get_args(Tier)

#: What a film may cost: what the daily cap allows, anything, or only what was paid before.
Spending = Literal["capped", "unlimited", "nothing"]

#: The end of an obstacle that stays until what is asked for changes, in epoch seconds.
NEVER = 4_102_444_800.0

MANIFEST_SCHEMA = "1"


#: An amount of money in whole micro-dollars.
MicroUSD = NewType("MicroUSD", int)

FREE = MicroUSD(0)


def add_up(amounts: Iterable[MicroUSD]) -> MicroUSD:
    return MicroUSD(sum(amounts))


def micros(usd: float) -> MicroUSD:
    return MicroUSD(round(usd * 1_000_000))


def dollars(amount: MicroUSD) -> str:
    """Return an amount in dollars, with at least two decimals: "1.60", "0.0375"."""
    whole, rest = divmod(amount, 1_000_000)
    cents = f"{rest:06d}".rstrip("0")
    return f"{whole}.{cents:0<2}"


def manifest_key(persona: str, topic: str) -> str:
    """Return the key of a template in the manifest: 16 hex digits."""
    return hashlib.sha256(f"{persona}:{topic}".encode()).hexdigest()[:16]


class TextCard(NamedTuple):
    """The last fallback and the accessible alternative of a film. Always published."""

    headline: str
    body: str
    action: str


class Cue(NamedTuple):
    """One caption: `start` and `end` in seconds, `text` of at most two lines."""

    start: float
    end: float
    text: str


class KeyFigure(NamedTuple):
    """A number that a film counts up to, such as 25, shown as "25%" over its label."""

    value: float
    format: str
    label: str


@dataclass(frozen=True)
class Template:
    """One persona × topic of the catalog, with every text and number resolved.

    `parameters` are the editable inputs of the catalog, `results` what
    `topics` computed from them. `fallback_static` names the scene file below
    `svg_templates/`; `accent` the persona's colour token; `review_by` the ISO
    date by which the outside facts it quotes are to be looked up again.
    Films of a higher `priority` get generated footage first; a higher `take`
    asks for other footage of the same prompt.
    """

    persona: str
    topic: str
    title: str
    prompt_template: str
    visual_metaphor: str
    duration_seconds: int
    style: str
    fallback_static: str
    accent: str
    takeaway: str
    card: TextCard
    alt: str
    captions: tuple[Cue, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    figures: tuple[KeyFigure, ...] = ()
    review_by: str | None = None
    priority: int = 0
    take: int = 1

    @property
    def name(self) -> str:
        return f"{self.persona}/{self.topic}"

    @property
    def key(self) -> str:
        return manifest_key(self.persona, self.topic)

    def plain(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {
            **vars(self),
            "card": self.card._asdict(),
            "captions": [cue._asdict() for cue in self.captions],
            "figures": [figure._asdict() for figure in self.figures],
        }

    def document(self) -> dict[str, Any]:
        """Return everything that a drawing is made from, as plain JSON values."""
        values = self.plain()
        # Notes to the editor and settings of footage. No drawn frame shows them.
        for name in ("review_by", "priority", "take"):
            del values[name]
        return values


class Obstacle(NamedTuple):
    """Why a tier does not make a film, and until when (epoch seconds) it is not to be asked.

    `reason` is the code that the manifest records: `not_configured`, `unpriced`,
    `budget`, `provider_error`, `moderation` or `render_error`; `message` is one line
    for people, empty where the reason is no news.
    """

    reason: str
    message: str = ""
    until: float = 0.0


class Source(NamedTuple):
    """The provider and model of the generated footage of a film, and its cost."""

    provider: str
    model: str
    cost_micros: MicroUSD


class RenderedFilm(NamedTuple):
    """Files that a tier has made in a scratch directory. They are not published yet."""

    video: Path
    poster: Path
    captions: Path
    duration_seconds: float
    width: int
    height: int
    source: Source | None = None


@dataclass(frozen=True)
class Video:
    """One manifest entry, as the main application reads it. None means unknown.

    Field names are those of the Redis hash (docs/reference.md, "The manifest").
    """

    persona: str
    topic: str
    status: Status
    text_headline: str
    text_body: str
    text_action: str
    alt: str
    schema: str = MANIFEST_SCHEMA
    url: str | None = None
    hash: str | None = None
    sha256: str | None = None
    created_at: str | None = None
    fallback_used: Tier | None = None
    provider: str | None = None
    model: str | None = None
    cost_usd: str | None = None
    fallback_reason: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    poster_url: str | None = None
    captions_url: str | None = None
    last_accessed_at: str | None = None

    @property
    def name(self) -> str:
        return f"{self.persona}/{self.topic}"

    @property
    def key(self) -> str:
        return manifest_key(self.persona, self.topic)

    def to_fields(self) -> dict[str, str]:
        """Return the Redis hash: strings, without unknown fields."""
        return {name: str(value) for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_fields(cls, stored: Mapping[str, str]) -> Video:
        """Read a Redis hash or sidecar. Ignores fields that this version does not know."""
        known: dict[str, Any] = {
            item.name: stored[item.name] for item in fields(cls) if item.name in stored
        }
        for name in ("width", "height", "bytes"):
            if name in known:
                known[name] = int(known[name])
        if "duration_seconds" in known:
            known["duration_seconds"] = float(known["duration_seconds"])
        return cls(**known)


OutcomeStatus = Literal["made", "renewed", "joined", "unchanged", "busy", "failed"]


class Outcome(NamedTuple):
    """What became of one template in a run.

    `made`: a new film was published. `renewed`: a film that was there was
    published again, `reason` says why. `joined`: another run, or a job that
    one had queued, made it meanwhile. `unchanged`: the published film was
    already current.
    `busy`: another process holds the lease. `failed`: no film could be made;
    the text card is what is left, or the film that was live before stays live
    (`video` says which).
    """

    persona: str
    topic: str
    status: OutcomeStatus
    video: Video | None = None
    seconds: float = 0.0
    error: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return f"{self.persona}/{self.topic}"


# The syntax of a location.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_BUCKET = r"(?i)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
_PREFIX = r"(?a)[\w!()*'.=+@-]+(/[\w!()*'.=+@-]+)*"


class ObjectPath(NamedTuple):
    """An object or a prefix of objects, written as `s3://bucket/key`."""

    bucket: str
    key: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    def with_suffix(self, suffix: str) -> ObjectPath:
        return self._replace(key=self.key.removesuffix(self.suffix) + suffix)

    def __truediv__(self, name: str) -> ObjectPath:
        return self._replace(key=f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")


Location = Path | ObjectPath


def parse_location(text: str | Path, cwd: Path) -> Location:
    """Read `s3://bucket/prefix`, or a path relative to `cwd`; UsageError for any other scheme."""
    if not re.match(_SCHEME, str(text)):
        return cwd / Path(text).expanduser()
    scheme, _, rest = str(text).partition("://")
    bucket, _, key = rest.rstrip("/").partition("/")
    if scheme == "s3" and re.fullmatch(_BUCKET, bucket) and (not key or _is_prefix(key)):
        return ObjectPath(bucket, key)
    raise UsageError(
        f"films cannot be published to {str(text)!r}",
        hint="Set VIDGEN_VIDEOS_DIR to a folder, or to s3://BUCKET or s3://BUCKET/PREFIX.",
    )


def _is_prefix(key: str) -> bool:
    return bool(re.fullmatch(_PREFIX, key)) and not {".", ".."} & set(key.split("/"))
