"""`vidgen worker`: RQ workers on this machine, until they are told to stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from spritz_cli.cli import console
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.words import counted

if TYPE_CHECKING:
    from spritz_cli.local_workers import LocalWorkers

LOOK_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 the queue is empty (--burst), 1 a worker failed, 2 usage, "
        "3 infrastructure, 130 stopped by Ctrl-C or SIGTERM.",
    )(worker)


def worker(
    context: typer.Context,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=64, help="How many workers.")
    ] = 1,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when the queue is empty.")] = False,
    as_json: Json = False,
) -> None:
    """Make the films that others put into the queue.

    Example: REDIS_URL=redis://cache:6379/0 vidgen worker -n 2
    """
    from spritz_cli.local_workers import LocalWorkers
    from spritz_cli.storage.embedded import open_redis, printable

    settings = settings_of(context)
    with open_redis(settings) as redis:
        where = printable(redis.url)
        console.note(f"{counted(count, 'worker')} for {settings.queue} at {where}; Ctrl-C stops.")
        if redis.embedded:
            console.note(
                "No REDIS_URL is set: this is the embedded server, which other commands here "
                "share and the main application cannot reach."
            )
        code = _serve(LocalWorkers(settings, redis.url, burst=burst), count, burst=burst)
    if as_json:
        console.document({"workers": count, "queue": settings.queue, "exit_code": code})
    if code:
        raise typer.Exit(1)


def _serve(workers: LocalWorkers, count: int, *, burst: bool) -> int:
    try:
        workers.start(count)
        while not burst:
            time.sleep(LOOK_SECONDS)
            workers.start(count)
        return workers.wait()
    finally:
        workers.stop()
