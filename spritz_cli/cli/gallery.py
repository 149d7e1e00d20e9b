"""`vidgen gallery`: all films on one page, to look at, send round and compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.documents import seen_by_application
from spritz_cli.cli.options import Json, Persona, Topic, selection, settings_of
from spritz_cli.cli.plan import planned
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.report import REASONS, TIER_WORDS
from spritz_cli.cli.units import age, counted, size, span
from spritz_cli.errors import UsageError

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.films.planning import PlanItem
    from spritz_cli.gallery.comparison import Comparison
    from spritz_cli.gallery.exhibit import Exhibit, Fact
    from spritz_cli.gallery.page import Page
    from spritz_cli.lint.finding import Finding
    from spritz_cli.models import Template, Video

#: Findings by the name of the film; None with --no-lint.
Findings = Mapping[str, Sequence[str]] | None


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 written, 2 usage or invalid catalog, 3 infrastructure.",
    )(gallery)


def gallery(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file to write.")] = Path(
        "gallery.html"
    ),
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with an earlier page of vidgen gallery."),
    ] = None,
    no_lint: Annotated[
        bool, typer.Option("--no-lint", help="Skip the check, which takes seconds a film.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page with every film in it.

    It needs no server and no network.

    Example: vidgen gallery --out after.html --against before.html
    """
    from spritz_cli.bootstrap import open_services
    from spritz_cli.gallery.comparison import compare, read_page
    from spritz_cli.gallery.page import write_page

    wanted = selection(persona, topic)
    path = _html(out)
    earlier = read_page(against).only(wanted.persona, wanted.topic) if against else None
    with open_services(settings_of(context)) as services:
        items = planned(services, wanted, force=False)
        findings = None if no_lint else _findings(context, [item.template for item in items])
        # A bucket's films are copied there while the page is written.
        with TemporaryDirectory(prefix="vidgen-gallery-") as folder:
            exhibits = _exhibits(services, items, findings, Path(folder))
            comparison = compare(exhibits, earlier) if earlier else None
            written = write_page(_page(exhibits, findings, comparison), path)
        if as_json:
            films = _films(services, exhibits)
            return console.document("gallery", _document(path, written, films, comparison))
    console.out(f"{path}: {_outcome(exhibits, comparison)}, {size(written)}.")


def _html(path: Path) -> Path:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint=f"Give --out a file: {path / 'gallery.html'}.")
    return path


def _findings(context: typer.Context, templates: Sequence[Template]) -> dict[str, list[str]]:
    from spritz_cli.lint.run import findings_of_all

    console.note(f"Checking {counted(len(templates), 'film')}; --no-lint skips this …")
    today = datetime.now(UTC).date()
    findings = findings_of_all(templates, settings_of(context).scenes, today)
    return {
        template.name: [_line(finding) for finding in of_film]
        for template, of_film in zip(templates, findings, strict=True)
    }


def _line(finding: Finding) -> str:
    when = "" if finding.second is None else f"{finding.second:.1f} s"
    # A catalog finding needs only its line; a drawing finding needs its second and its element.
    where = finding.where or ", ".join(filter(None, (when, finding.element)))
    soon = "soon: " if finding.level == "soon" else ""
    return f"{soon}{where}: {finding.message}. {finding.mend}"


def _exhibits(
    services: Services, items: Sequence[PlanItem], findings: Findings, folder: Path
) -> list[Exhibit]:
    videos = [item.video for item in items if item.video and item.video.url]
    intact = services.store.all_intact(videos)
    there = {video.key for video, whole in zip(videos, intact, strict=True) if whole}
    return [
        _exhibit(services, item, findings, folder if item.template.key in there else None)
        for item in items
    ]


def _exhibit(
    services: Services, item: PlanItem, findings: Findings, folder: Path | None
) -> Exhibit:
    """Return what to show of a film; its files may be copied to `folder`, if they are there."""
    from spritz_cli.gallery.exhibit import Exhibit, FilmFiles

    store, video, there = services.store, item.video, folder is not None
    of_film = None if findings is None else findings[item.template.name]
    return Exhibit(
        template=item.template,
        state=_state(video, there=there),
        video=video,
        media=FilmFiles(store.local(video, folder)) if video and folder else None,
        facts=[*_facts(item, there=there), *_lint_fact(of_film)],
        findings=of_film,
        inputs=(store.sidecar(video) or {}).get("inputs") if video and there else None,
    )


def _state(video: Video | None, *, there: bool) -> str:
    if video is None:
        return "not made yet"
    return "files missing" if video.status == "ready" and not there else video.status


def _facts(item: PlanItem, *, there: bool) -> Iterator[Fact]:
    from spritz_cli.gallery.exhibit import Fact

    video = item.video
    if video and there:
        yield Fact("Tier", _tier(video))
        yield from _why(video)
        yield Fact("Length", span(video.duration_seconds or 0.0))
        yield Fact("Size", size(video.bytes))
        yield Fact("Made", f"{_moment(video.created_at)}, {age(video.created_at)} ago")
        yield Fact("Cost", f"${float(video.cost_usd or 0):.2f}")
        yield Fact("Fingerprint", (video.fingerprint or "")[:12], video.fingerprint or "")
    elif video:
        yield from _why(video)
    yield Fact("Next run", ": ".join([_intention(item), *item.differences[:1]]))


def _why(video: Video) -> Iterator[Fact]:
    from spritz_cli.gallery.exhibit import Fact

    if video.fallback_reason:
        yield Fact("Reason", REASONS.get(video.fallback_reason, video.fallback_reason))
    if video.error:
        yield Fact("Error", video.error)


def _tier(video: Video) -> str:
    tier = video.fallback_used
    return f"{tier}, {TIER_WORDS[tier][0]}" if tier else "unknown"


def _intention(item: PlanItem) -> str:
    if item.action == "keep":
        return "nothing to do"
    return f"{item.action}s it, {item.reason}" if item.reason != "new" else "makes it"


def _lint_fact(findings: Sequence[str] | None) -> Iterator[Fact]:
    from spritz_cli.gallery.exhibit import Fact

    if findings is not None:
        yield Fact("Lint", counted(len(findings), "finding") if findings else "nothing found")


def _page(exhibits: Sequence[Exhibit], findings: Findings, comparison: Comparison | None) -> Page:
    # Looking the version up takes as long as all of the help.
    from spritz_cli import __version__
    from spritz_cli.gallery.page import Page

    now = datetime.now(UTC).isoformat(timespec="seconds")
    personas = len({exhibit.persona for exhibit in exhibits})
    title = f"{counted(len(exhibits), 'film')} for {counted(personas, 'persona')}"
    return Page(
        title=title,
        made_at=now,
        made=_moment(now),
        version=__version__,
        exhibits=exhibits,
        summary=[*_summary(exhibits, findings), *_since(comparison)],
        comparison=comparison,
    )


def _summary(exhibits: Sequence[Exhibit], findings: Findings) -> Iterator[Fact]:
    from spritz_cli.gallery.exhibit import Fact

    shown = [exhibit.video for exhibit in exhibits if exhibit.video and exhibit.media]
    tiers = Counter(video.fallback_used or "unknown" for video in shown)
    yield Fact("Ready", f"{len(shown)} of {len(exhibits)}")
    if shown:
        yield Fact("Tiers", ", ".join(f"{count} {tier}" for tier, count in tiers.items()))
        yield Fact("Length", span(sum(video.duration_seconds or 0.0 for video in shown)))
        yield Fact("Size", size(sum(video.bytes or 0 for video in shown)))
        yield Fact("Cost", f"${sum(float(video.cost_usd or 0) for video in shown):.2f}")
    if findings is not None:
        count = sum(len(findings[exhibit.name]) for exhibit in exhibits)
        yield Fact("Lint", counted(count, "finding") if count else "nothing found")


def _since(comparison: Comparison | None) -> Iterator[Fact]:
    from spritz_cli.gallery.exhibit import Fact

    if comparison:
        yield Fact(f"Since {_moment(comparison.since)}", _changes(comparison))


def _changes(comparison: Comparison) -> str:
    counts = {
        name: len(getattr(comparison, name)) for name in ("changed", "new", "removed", "unchanged")
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _moment(moment: str | None) -> str:
    """Write an ISO 8601 moment as people do: 23 Nov 2026, 10:35 UTC."""
    if not moment:
        return "at an unknown time"
    when = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def _outcome(exhibits: Sequence[Exhibit], comparison: Comparison | None) -> str:
    ready = sum(exhibit.media is not None for exhibit in exhibits)
    shown = f"{ready} of {counted(len(exhibits), 'film')} ready"
    return f"{shown}; {_changes(comparison)}" if comparison else shown


def _films(services: Services, exhibits: Sequence[Exhibit]) -> list[dict[str, Any]]:
    intact = {exhibit.template.key for exhibit in exhibits if exhibit.media}
    templates = [exhibit.template for exhibit in exhibits]
    return [*seen_by_application(services, templates, intact).values()]


def _document(
    path: Path, written: int, films: Sequence[Mapping[str, Any]], comparison: Comparison | None
) -> dict[str, Any]:
    ready = sum(film["status"] == "ready" for film in films)
    return {
        "films": films,
        "totals": {"films": len(films), "ready": ready},
        "path": str(path.absolute()),
        "bytes": written,
        "comparison": _compared(comparison) if comparison else None,
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "since": comparison.since,
        "changed": [change.exhibit.name for change in comparison.changed],
        "new": [exhibit.name for exhibit in comparison.new],
        "removed": list(comparison.removed),
        "unchanged": [exhibit.name for exhibit in comparison.unchanged],
    }
