"""`vidgen warm`: make every film that is missing or stale, and report the results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console, money, plan as plans, report
from spritz_cli.cli.documents import seen_by_application
from spritz_cli.cli.hangup import outliving_the_terminal
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.progress import watch
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.report import Run
from spritz_cli.cli.units import counted
from spritz_cli.errors import Interrupted, UsageError
from spritz_cli.models import Outcome, Spending, Template, Tier

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.films.planning import PlanItem


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 done, 1 a film failed or is below --min-tier, 2 usage or invalid "
        "catalog, 3 infrastructure, 130 interrupted. With --dry-run --json the document is that "
        "of vidgen plan.",
    )(warm)


def warm(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    everything: Annotated[bool, typer.Option("--all", help="Select the whole catalog.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Make the films in processes of this command, no jobs.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Make N films at once; default one per CPU."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make films that are current, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and make nothing.")
    ] = False,
    min_tier: Annotated[
        Tier | None,
        typer.Option(metavar="TIER", help="Exit with 1 if a film is below: sora, static or text."),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Queue the jobs and leave.")] = False,
    ignore_budget: Annotated[
        bool, typer.Option("--ignore-budget", help="Buy footage beyond today's budget.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make every film that is missing or stale, and publish it.

    Example: vidgen warm --all --sync
    """
    from spritz_cli.bootstrap import open_services

    wanted = _wanted(selection(persona, topic), everything)
    _refuse_contradictions(sync, no_wait)
    started, began = time.monotonic(), time.time()
    settings = settings_of(context)
    spending: Spending = "unlimited" if ignore_budget else "capped"
    # A server that answered once may restart without ending the run.
    with outliving_the_terminal(), open_services(settings, patience="long") as services:
        items = plans.planned(services, wanted, force=force, spending=spending)
        if dry_run:
            return plans.show(services, items, as_json=as_json)
        services.manifest.announce(services.catalog.templates)
        money.begin(services, items)
        if no_wait:
            return _queue(services, items, as_json=as_json)
        outcomes = _make(services, items, sync, workers)
        receipt = money.receipt(services, items, outcomes, began)
        run = Run(items, outcomes, services.store.location, time.monotonic() - started, receipt)
        seen = _seen(services, run) if as_json else None
    report.show(run, min_tier=min_tier, seen=seen)
    if run.failed or run.below(min_tier):
        raise typer.Exit(1)


def _wanted(wanted: Selection, everything: bool) -> Selection:
    if wanted.explicit or everything:
        return wanted
    raise UsageError(
        "nothing is selected", hint="Name a persona (and a topic), or say --all for the catalog."
    )


def _refuse_contradictions(sync: bool, no_wait: bool) -> None:
    if sync and no_wait:
        raise UsageError(
            "--sync and --no-wait contradict each other",
            hint="Without --sync, --no-wait leaves the jobs to the workers of the queue.",
        )


def _queue(services: Services, items: Sequence[PlanItem], *, as_json: bool) -> None:
    from spritz_cli.runs.queued import enqueue

    queued = enqueue(services, [item for item in items if item.action != "keep"])
    if as_json:
        ids = {template.name: job_id for template, job_id in queued}
        run = Run(items, (), services.store.location, jobs=ids)
        return report.show(run, min_tier=None, seen=_seen(services, run))
    console.out(f"{counted(len(queued), 'film')} queued in {services.settings.queue}.")


def _seen(services: Services, run: Run) -> dict[str, dict[str, Any]]:
    return seen_by_application(services, [item.template for item in run.items], run.intact)


def _make(
    services: Services,
    items: Sequence[PlanItem],
    sync: bool,
    workers: int | None,
) -> list[Outcome]:
    due = [item for item in items if item.action != "keep"]
    if not due:
        return []
    make = import_module("spritz_cli.runs.process_pool" if sync else "spritz_cli.runs.queued").warm
    view = watch({item.template.name: float(item.template.duration_seconds) for item in due})
    try:
        with view:
            outcomes: list[Outcome] = make(services, due, workers=workers, on_event=view.handle)
    except KeyboardInterrupt:
        raise Interrupted(_interrupted(services, [item.template for item in items])) from None
    return outcomes


def _interrupted(services: Services, templates: Sequence[Template]) -> str:
    from spritz_cli.runs.common import published

    count = published(services, templates)
    if count is None:
        return "interrupted; run the same command to go on"
    films = counted(count, "film is", "films are")
    return f"interrupted; {films} published, run the same command to go on"
