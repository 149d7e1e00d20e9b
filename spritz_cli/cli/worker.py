"""`vidgen worker`: RQ workers on this machine, until a signal stops them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from spritz_cli.cli import console
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted
from spritz_cli.errors import INTERRUPTED_EXIT_CODE, StorageError


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 stopped, or the queue is empty (--burst); 1 a worker failed, "
        "2 usage, 3 infrastructure, 130 stopped twice: the unfinished films were put back.",
    )(worker)


def worker(
    context: typer.Context,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=64, metavar="N", help="Run N workers.")
    ] = 1,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when the queue is empty.")] = False,
    health_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Touch FILE every 2 seconds while all workers reach Redis."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the films that others put into the queue.

    Ctrl-C or SIGTERM: finish the current films and stop; again: stop at once.

    Example: REDIS_URL=redis://cache:6379/0 vidgen worker -n 2
    """
    from spritz_cli.runs.worker_service import serve
    from spritz_cli.storage.redis.connection import open_redis, printable

    settings = settings_of(context)
    with open_redis(settings) as redis:
        where = printable(redis.url)
        console.note(f"{counted(count, 'worker')} for {settings.queue} at {where}; Ctrl-C stops.")
        if redis.embedded:
            console.note(
                "No REDIS_URL is set: this is the embedded server, which other commands here "
                "share and the main application cannot reach."
            )
        code = serve(
            settings,
            redis.url,
            count,
            burst=burst,
            health_file=health_file,
            on_request=_say_what_happens_now,
        )
    if as_json:
        fields = {"workers": count, "queue": settings.queue, "exit_code": _exit_code(code)}
        console.document("worker", fields)
    raise typer.Exit(_exit_code(code))


def _exit_code(worst: int) -> int:
    return worst if worst in (0, INTERRUPTED_EXIT_CODE) else 1


def _say_what_happens_now() -> None:
    # The signal may come from a terminal that was closed.
    with suppress(console.OutputClosed, StorageError):
        console.note("Finishing the current films; Ctrl-C again puts them back into the queue.")
