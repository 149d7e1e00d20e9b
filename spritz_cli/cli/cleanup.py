"""`vidgen cleanup`: delete what expired, what nothing refers to, and what is over quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Column
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted, parse_span, size
from spritz_cli.errors import UsageError

if TYPE_CHECKING:
    from spritz_cli.films.cleanup import CleanupResult

MOST_GIGABYTES = 1_000_000

COLUMNS = (Column("FILE"), Column("SIZE", right=True), Column("REASON"))


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand, epilog="Exit codes: 0 done, 2 usage or invalid catalog, 3 infrastructure."
    )(cleanup)


def cleanup(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and change nothing.")
    ] = False,
    quota_gb: Annotated[
        float | None,
        typer.Option(help="Keep at most this much; default VIDGEN_DISK_QUOTA_GB, else 5."),
    ] = None,
    grace: Annotated[
        str, typer.Option(help="Never delete what is younger, e.g. 30m, 2h, 1d.")
    ] = "1h",
    as_json: Json = False,
) -> None:
    """Delete films that expired, are orphaned or over quota.

    Example: vidgen cleanup --dry-run
    """
    from spritz_cli.bootstrap import open_services
    from spritz_cli.films import cleanup as films

    settings = settings_of(context)
    quota = settings.disk_quota_gb if quota_gb is None else _required_quota(quota_gb)
    with open_services(settings) as services:
        result = films.cleanup(
            services.studio,
            services.catalog,
            quota_bytes=round(quota * films.GB),
            footage=services.footage,
            grace_seconds=parse_span(grace),
            dry_run=dry_run,
        )
    if as_json:
        console.document(result.document())
    else:
        _show(result)


def _required_quota(given: float) -> float:
    # This is false for "nan" too.
    if 0 < given <= MOST_GIGABYTES:
        return given
    raise UsageError(
        f"--quota-gb {given:g} is no amount of gigabytes to keep",
        hint=f"Give a number above 0 and up to {MOST_GIGABYTES:,}.",
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
