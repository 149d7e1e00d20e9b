"""`vidgen status`: what the main application sees now."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO, cast

import typer

from spritz_cli.cli import console, money
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.documents import (
    film_fields,
    intact_keys,
    obstacle_fields,
    status_of,
    video_fields,
)
from spritz_cli.cli.hangup import Forgiving
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import age, counted, size, span
from spritz_cli.errors import RedisUnavailable, UsageError
from spritz_cli.models import Template, Video

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.storage.leases import LeaseInfo
    from spritz_cli.storage.upgrades import Owed

COLUMNS = (
    Column("FILM"),
    Column("STATUS"),
    Column("TIER", optional=True),
    Column("AGE", right=True, optional=True),
    Column("EXPIRES IN", right=True, optional=True),
    Column("SIZE", right=True, optional=True),
    Column("URL", optional=True),
)

#: How often --watch looks again.
EVERY_SECONDS = 2.0

STYLES = {"ready": "green", "failed": "bold red", "files_missing": "bold red"}


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 all ready, 1 some are not, 2 usage or invalid catalog, "
        "3 infrastructure.",
    )(status)


def status(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw the table until Ctrl-C.")] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.2, metavar="SECONDS", help="How often --watch looks; default 2."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is published: a table, or one film in full.

    With --watch and --json: one document a line, until interrupted.

    Example: vidgen status high_utilization credit_utilization
    """
    from spritz_cli.bootstrap import open_to_read

    wanted = selection(persona, topic)
    if watch or every is not None:
        return _watch(context, wanted, watch, every or EVERY_SECONDS, as_json=as_json)
    with open_to_read(settings_of(context)) as services:
        entries = _entries(services, services.catalog.select(wanted.persona, wanted.topic))
    if as_json:
        console.document("status", _document(entries))
    elif len(entries) == 1:
        _show_in_full(entries[0])
    else:
        _show_table(entries)
    if not all(entry.ready for entry in entries):
        raise typer.Exit(1)


def _watch(
    context: typer.Context, wanted: Selection, watch: bool, every: float, *, as_json: bool
) -> None:
    from spritz_cli.bootstrap import open_services

    if not watch:
        raise UsageError("--every makes no sense without --watch", hint="Add --watch.")
    if not as_json and not console.redraws(sys.stdout):
        raise UsageError(
            "--watch redraws a terminal, and the output is not one",
            hint="Add --json for one document a line, or run `vidgen status` again and again.",
        )
    # A server that hangs is reported as soon as one that is away.
    with open_services(settings_of(context), patience="short") as services:
        templates = services.catalog.select(wanted.persona, wanted.topic)
        frames = _look_again(services, templates, every)
        with suppress(KeyboardInterrupt):
            _write_lines(frames) if as_json else _redraw(frames)


def _look_again(
    services: Services, templates: Sequence[Template], every: float
) -> Iterator[Sequence[Entry] | RedisUnavailable]:
    """Yield what is published, again and again, or why it cannot be read just now."""
    while True:
        try:
            yield _entries(services, templates)
        except RedisUnavailable as exc:
            yield exc
        time.sleep(every)


def _write_lines(frames: Iterable[Sequence[Entry] | RedisUnavailable]) -> None:
    for frame in frames:
        if isinstance(frame, RedisUnavailable):
            console.error_document("status", frame, on_one_line=True)
        else:
            console.document("status", _document(frame), on_one_line=True)
        console.flush()


def _redraw(frames: Iterable[Sequence[Entry] | RedisUnavailable]) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    terminal = Forgiving(sys.stdout)
    screen = console.rich_console(cast(TextIO, terminal))
    table: Any = Text("")
    with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        for frame in frames:
            if isinstance(frame, RedisUnavailable):
                # The last table stays on the screen.
                foot = Text(f"{frame.message}; trying again.", style="bold red")
            else:
                table = console.grid(COLUMNS, [_row(entry) for entry in frame], screen.width)
                foot = Text(_sum(frame))
            live.update(Group(table, foot), refresh=True)
            if terminal.gone:
                raise console.OutputClosed


class Entry(NamedTuple):
    """One template with what the manifest, the store and the leases know about it."""

    template: Template
    video: Video | None
    expires_in: float | None
    lease: LeaseInfo | None
    intact: bool
    owed: Owed | None = None

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    @property
    def state(self) -> str:
        return status_of(self.video, intact=self.intact)

    @property
    def words(self) -> str:
        """The state, and how far the film is if it is being made."""
        state = self.state.replace("_", " ")
        if self.lease is None:
            return state
        making = f"{self.lease.stage} {self.lease.progress:.0%}".strip()
        return making if state in ("not found", "processing") else f"{state}, {making}"

    def document(self) -> dict[str, Any]:
        """Return what the application sees, who works on the film, and what it waits for."""
        return {
            **film_fields(self.template, self.video, intact=self.intact),
            "expires_in_seconds": self.expires_in,
            "lease": _lease(self.lease) if self.lease else None,
            "obstacle": obstacle_fields(self.owed.obstacle) if self.owed else None,
            "video": video_fields(self.video),
        }


def _lease(lease: LeaseInfo) -> dict[str, Any]:
    return {
        "owner": lease.owner,
        "pid": lease.pid,
        "since": lease.since,
        "stage": lease.stage,
        "progress": lease.progress,
    }


def _document(entries: Sequence[Entry]) -> dict[str, Any]:
    ready = sum(entry.ready for entry in entries)
    return {
        "films": [entry.document() for entry in entries],
        "totals": {"films": len(entries), "ready": ready},
    }


def _entries(services: Services, templates: Sequence[Template]) -> list[Entry]:
    manifest = services.manifest
    keys = [template.key for template in templates]
    leases, owed = services.leases.holders(keys), services.upgrades.many(keys)
    videos = manifest.peek_many(templates)
    intact = intact_keys(services.store, videos)
    return [
        Entry(
            template,
            video,
            expires_in=left,
            lease=None if lease is None or lease.dead else lease,
            intact=bool(video and video.key in intact),
            owed=debt,
        )
        for template, video, left, lease, debt in zip(
            templates,
            videos,
            manifest.time_left(templates),
            leases,
            owed,
            strict=True,
        )
    ]


def _show_table(entries: Sequence[Entry]) -> None:
    console.table(COLUMNS, [_row(entry) for entry in entries])
    console.out(_sum(entries))


def _sum(entries: Sequence[Entry]) -> str:
    ready = sum(entry.ready for entry in entries)
    return f"{ready} of {counted(len(entries), 'film')} ready."


def _row(entry: Entry) -> list[str | Cell]:
    state = Cell(entry.words, STYLES.get(entry.state, "yellow"))
    video = entry.video
    if video is None:
        return [entry.template.name, state, "", "", "", "", ""]
    return [
        entry.template.name,
        state,
        video.fallback_used or "",
        age(video.created_at),
        "" if entry.expires_in is None else span(entry.expires_in),
        size(video.bytes),
        video.url or "",
    ]


def _show_in_full(entry: Entry) -> None:
    console.out(entry.template.name)
    fields = {"state": entry.words}
    if entry.expires_in is not None:
        fields["expires_in"] = span(entry.expires_in)
    if entry.video is not None:
        fields["age"] = age(entry.video.created_at)
        fields |= entry.video.to_fields()
    if entry.owed is not None:
        fields["footage"] = money.next_try(entry.owed.obstacle)
    width = max(map(len, fields))
    for name, value in fields.items():
        console.out(f"  {name.ljust(width)}  {value}")
