"""The report at the end of `vidgen warm`: a table, the totals, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.money import Receipt
from spritz_cli.cli.units import counted, size, span
from spritz_cli.models import TIERS, Location, Outcome, Tier, Video

if TYPE_CHECKING:
    from spritz_cli.films.planning import PlanItem

COLUMNS = (
    Column("FILM"),
    Column("RESULT"),
    Column("TIER"),
    Column("LENGTH", right=True, optional=True),
    Column("MADE IN", right=True),
    Column("SIZE", right=True, optional=True),
    Column("URL", optional=True),
)

STYLES = {
    "made": "green",
    "renewed": "cyan",
    "joined": "cyan",
    "failed": "bold red",
    "busy": "yellow",
}

#: Reason of the manifest -> why tier 1 was not used.
REASONS = {
    "not_configured": "Tier 1 (generated footage) is not configured",
    "budget": "Today's budget for generated footage is spent",
    "unpriced": "No price is known for generated footage",
    "provider_error": "The provider of generated footage failed",
    "moderation": "The provider of generated footage refused",
    "render_error": "Drawing failed",
}

#: What one film is, and what several are.
TIER_WORDS: dict[Tier, tuple[str, str]] = {
    "sora": ("generated footage", "generated footage"),
    "static": ("an animated infographic", "animated infographics"),
    "text": ("a text card", "text cards"),
}


@dataclass(frozen=True)
class Run:
    """A finished run: what was planned for every selected template, and what became of it.

    `jobs` are the ids of films that were only queued, by name.
    """

    items: Sequence[PlanItem]
    outcomes: Sequence[Outcome]
    videos_dir: Location
    seconds: float = 0.0
    receipt: Receipt | None = None
    jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def intact(self) -> set[str]:
        """Manifest keys of the films whose files the run has seen or written."""
        kept = {item.template.key for item in self.items if item.action == "keep"}
        fresh = ("made", "renewed", "joined", "unchanged")
        return kept | {
            outcome.video.key
            for outcome in self.outcomes
            if outcome.video and outcome.status in fresh
        }

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status in ("failed", "busy")]

    @property
    def made(self) -> list[Video]:
        made = [outcome.video for outcome in self.outcomes if outcome.status == "made"]
        return [video for video in made if video is not None]

    @property
    def renewed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "renewed"]

    @property
    def joined(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "joined"]

    @property
    def unchanged(self) -> int:
        changed = len(self.made) + len(self.renewed) + len(self.joined) + len(self.failed)
        return len(self.items) - len(self.jobs) - changed

    @property
    def film_seconds(self) -> float:
        return sum(video.duration_seconds or 0.0 for video in self.made)

    @property
    def bytes(self) -> int:
        return sum(video.bytes or 0 for video in self.made)

    def videos(self) -> dict[str, Video | None]:
        """Return the film that each selected template has now."""
        planned = {item.template.name: item.video for item in self.items}
        return planned | {outcome.name: outcome.video for outcome in self.outcomes}

    def below(self, min_tier: Tier | None) -> list[str]:
        """Return the names of the templates whose film is of a lower tier than asked for."""
        if min_tier is None:
            return []
        allowed = TIERS[: TIERS.index(min_tier) + 1]
        return [name for name, video in self.videos().items() if _tier(video) not in allowed]


def show(
    run: Run, *, min_tier: Tier | None, seen: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write the result of a run, and to stderr what the user should know besides.

    With `seen` (documents.seen_by_application), the result is a JSON document.
    """
    if seen is not None:
        console.document("warm", _document(run, min_tier, seen))
    elif run.outcomes:
        console.table(COLUMNS, [_row(outcome) for outcome in run.outcomes])
        console.out(_totals(run))
    else:
        console.out(f"Nothing to do: {_all_current(len(run.items))}.")
    if run.receipt and seen is None:
        console.out(str(run.receipt))
    for line in _notices(run):
        console.note(line)
    for line in _complaints(run, min_tier):
        console.complain(line)


def _row(outcome: Outcome) -> list[str | Cell]:
    result = Cell(outcome.status, STYLES.get(outcome.status, "dim"))
    video = outcome.video
    if video is None:
        return [outcome.name, result, "text", "", span(outcome.seconds), "", ""]
    return [
        outcome.name,
        result,
        _tier(video),
        "" if video.duration_seconds is None else span(video.duration_seconds),
        span(outcome.seconds) if outcome.status == "made" else "",
        size(video.bytes),
        video.url or "",
    ]


def _totals(run: Run) -> str:
    counts = ", ".join(_counts(run))
    if not run.made:
        return f"{counts}, in {span(run.seconds)}."
    pace = run.film_seconds / run.seconds if run.seconds else 0.0
    return (
        f"{counts}: {span(run.film_seconds)} of film in {span(run.seconds)} "
        f"({pace:.1f} × real time), {size(run.bytes)} in {run.videos_dir}"
    )


def _counts(run: Run) -> list[str]:
    counts = [f"{counted(len(run.made), 'film')} made"]
    if run.renewed:
        reasons = sorted({outcome.reason or "" for outcome in run.renewed} - {""})
        counts.append(f"{len(run.renewed)} renewed ({', '.join(reasons)})")
    if run.joined:
        counts.append(f"{len(run.joined)} made by another run")
    return [*counts, f"{run.unchanged} unchanged", f"{len(run.failed)} failed"]


def _all_current(count: int) -> str:
    return "the film is up to date" if count == 1 else f"all {count} films are up to date"


def _notices(run: Run) -> list[str]:
    kept = [
        f"{item.name} keeps its film, footage is still owed: {item.error}"
        for item in run.outcomes
        if item.status == "unchanged" and item.error
    ]
    lower = _lower_tiers(run) if run.made else []
    return [*lower, *kept]


def _complaints(run: Run, min_tier: Tier | None) -> list[str]:
    """Say why the command is going to exit with 1."""
    failures = [f"failed {item.name}: {item.error or item.status}" for item in run.failed]
    return [*_below_sentence(run, min_tier), *failures]


def _lower_tiers(run: Run) -> list[str]:
    videos = [video for video in run.videos().values() if video and video.fallback_reason]
    groups = Counter((video.fallback_reason or "", _tier(video)) for video in videos)
    errors = {video.fallback_reason: video.error for video in videos if video.error}
    return [
        f"{REASONS.get(reason, reason)}; {_films(count, len(run.items), tier)}."
        + (f" Said: {errors[reason]}" if reason in errors else "")
        for (reason, tier), count in groups.items()
    ]


def _films(count: int, all_of_them: int, tier: Tier) -> str:
    one, several = TIER_WORDS[tier]
    if count == all_of_them:
        return f"every film is {one}" if count > 1 else f"the film is {one}"
    return counted(count, f"film is {one}", f"films are {several}")


def _below_sentence(run: Run, min_tier: Tier | None) -> list[str]:
    below = run.below(min_tier)
    if not below:
        return []
    names = ", ".join(below[:3]) + (f" and {len(below) - 3} more" if len(below) > 3 else "")
    return [f"{counted(len(below), 'film is', 'films are')} below tier {min_tier}: {names}."]


def _tier(video: Video | None) -> Tier:
    return video.fallback_used or "text" if video else "text"


def _document(
    run: Run, min_tier: Tier | None, seen: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    outcomes = {outcome.name: outcome for outcome in run.outcomes}
    return {
        "films": [
            {**seen[item.template.key], **_fields(run, item, outcomes.get(item.template.name))}
            for item in run.items
        ],
        "totals": {
            "films": len(run.items),
            "made": len(run.made),
            "renewed": len(run.renewed),
            "joined": len(run.joined),
            "queued": len(run.jobs),
            "unchanged": run.unchanged,
            "failed": len(run.failed),
            "below_min_tier": len(run.below(min_tier)),
            "duration_seconds": run.film_seconds,
            "seconds": round(run.seconds, 3),
            "bytes": run.bytes,
        },
        "receipt": run.receipt.document() if run.receipt else None,
        "videos_dir": str(run.videos_dir),
    }


def _fields(run: Run, item: PlanItem, outcome: Outcome | None) -> dict[str, Any]:
    job_id = run.jobs.get(item.template.name)
    result = outcome.status if outcome else "queued" if job_id else "unchanged"
    return {
        "result": result,
        "reason": item.reason,
        "tier": _tier(outcome.video if outcome else item.video),
        "seconds": round(outcome.seconds, 3) if outcome else 0.0,
        "error": outcome.error if outcome else None,
        "job_id": job_id,
    }
