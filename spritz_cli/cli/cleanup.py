"""`vidgen cleanup`: delete what expired, what nothing refers to, and what is over quota."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Column
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted, parse_span, size
from spritz_cli.errors import UsageError
from spritz_cli.settings import MAX_QUOTA_GB

if TYPE_CHECKING:
    from spritz_cli.films.cleanup import CleanupResult

COLUMNS = (Column("FILE"), Column("SIZE", right=True), Column("REASON"))


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand, epilog="Exit codes: 0 done, 2 usage or invalid catalog, 3 infrastructure."
    )(cleanup)


def cleanup(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go and delete nothing.")
    ] = False,
    quota_gb: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Keep at most this much; default VIDGEN_DISK_QUOTA_GB."),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="AGE", help="Keep what is younger: 30m, 2h, 1d.")
    ] = "1h",
    as_json: Json = False,
) -> None:
    """Delete films that expired, are orphaned or over quota.

    Example: vidgen cleanup --dry-run
    """
    from spritz_cli.bootstrap import open_services
    from spritz_cli.films import cleanup as films

    settings = settings_of(context)
    if quota_gb is not None:
        settings = replace(settings, disk_quota_gb=_required_quota(quota_gb))
    with open_services(settings) as services:
        result = films.cleanup(
            services.studio,
            services.catalog,
            quota_bytes=settings.disk_quota_bytes,
            footage=services.footage,
            grace_seconds=parse_span(grace),
            dry_run=dry_run,
        )
    if as_json:
        console.document("cleanup", result.document())
    else:
        _show(result)


def _required_quota(given: float) -> float:
    # False for NaN, too.
    if 0 < given <= MAX_QUOTA_GB:
        return given
    raise UsageError(
        f"invalid --quota-gb {given:g}",
        hint=f"Give a number above 0 and up to {MAX_QUOTA_GB:,}.",
    )


def _show(result: CleanupResult) -> None:
    deletions = result.deletions
    rows = [(str(item.path), size(item.bytes), item.reason) for item in deletions]
    if rows:
        console.table(COLUMNS, rows)
    verb = "would be deleted" if result.dry_run else "deleted"
    freed = size(sum(item.bytes for item in deletions))
    console.out(
        f"{counted(len(deletions), 'file')} {verb} ({freed}); "
        f"films {'take' if result.dry_run else 'took'} {size(result.plan.disk_usage_bytes)}."
    )
