"""Checks many films in parallel processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import date
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

from spritz_cli.errors import InfrastructureError
from spritz_cli.lint.film import findings
from spritz_cli.lint.finding import Finding
from spritz_cli.models import Template
from spritz_cli.scene.library import SceneLibrary


def findings_of_all(
    templates: Sequence[Template], scenes: Path, today: date, processes: int | None = None
) -> Iterator[list[Finding]]:
    """Yield the findings of each film, in the order of the templates."""
    judge = partial(_judge, scenes=scenes, today=today)
    count = min(processes or os.cpu_count() or 1, len(templates))
    if count <= 1:
        yield from map(judge, templates)
        return
    # Spawned, not forked: the caller may have threads.
    with _pool(count) as pool:
        # Not pool.map: it cancels waiting calls, which fails in a broken pool.
        waiting = [pool.submit(judge, template) for template in templates]
        for future in waiting:
            yield future.result()


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    others = {*active_children()}
    pool = ProcessPoolExecutor(count, get_context("spawn"), _die_quietly)
    try:
        yield pool
    except BaseException as exc:
        # Do not wait for films that are half checked.
        for child in {*active_children()} - others:
            child.terminate()
        if isinstance(exc, BrokenProcessPool):
            raise InfrastructureError(
                "a process that checked films died",
                hint="Perhaps memory ran out: check one film at a time.",
            ) from exc
        raise
    finally:
        pool.shutdown(wait=False)


def _judge(template: Template, scenes: Path, today: date) -> list[Finding]:
    return findings(template, SceneLibrary(scenes), today)


def _die_quietly() -> None:
    # Ctrl-C reaches all processes, and the parent reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
