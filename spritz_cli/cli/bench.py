"""`vidgen bench`: how fast films are made on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Column
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.errors import UsageError

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import Catalog
    from spritz_cli.models import Template

#: One with much text, one with much motion, one of the cards.
USUAL = ("credit_utilization", "cash_buffer", "hysa_comparison")

#: What starts often; the last one with nothing left to make.
COMMANDS = (("--help",), ("status", "--json"), ("plan", "--json"), ("warm", "--all"))


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 measured, 2 usage or invalid catalog, 3 infrastructure.",
    )(bench)


def bench(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    everything: Annotated[bool, typer.Option("--all", help="Every film of the catalog.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each film; medians count.")] = 3,
    growth: Annotated[
        bool, typer.Option("--growth", help="Also status and plan with up to 20,000 films. Slow.")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="The --json of an earlier run, to compare with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure CPU by stage, against ffmpeg alone on the same frames. Publishes nothing.

    Example: vidgen bench --json > before.json
    """
    earlier = _read(compare) if compare else None
    catalog = _catalog(context)
    templates = _templates(catalog, selection(persona, topic), everything)
    found = _measure(catalog, templates, settings_of(context).scenes, runs, growth)
    if as_json:
        return console.document(found | ({"compared": _changes(found, earlier)} if earlier else {}))
    _show(found)
    for line in _changes(found, earlier) if earlier else ():
        console.out(line)


def _catalog(context: typer.Context) -> Catalog:
    from spritz_cli.catalog.loader import load_catalog

    settings = settings_of(context)
    return load_catalog(settings.catalog, settings.scenes, settings.state_dir)


def _templates(catalog: Catalog, wanted: Selection, everything: bool) -> tuple[Template, ...]:
    if wanted.explicit or everything:
        return catalog.select(wanted.persona, wanted.topic)
    usual = tuple(item for item in catalog.templates if item.topic in USUAL)
    return usual or catalog.templates[:3]


def _measure(
    catalog: Catalog, templates: tuple[Template, ...], scenes: Path, runs: int, growth: bool
) -> dict[str, Any]:
    from spritz_cli import bench as measuring
    from spritz_cli.scene.library import SceneLibrary

    library = SceneLibrary(scenes)
    films = []
    for template in templates:
        console.note(f"measuring {template.name}")
        films.append(measuring.document(measuring.measure_film(template, library, runs)))
    memory = {"own": measuring.peak_mb(), "ffmpeg": measuring.peak_mb(children=True)}
    with measuring.current_project(catalog, library) as settings:
        commands = [measuring.measure_command(arguments, settings, 5) for arguments in COMMANDS]
    grown = []
    if growth:
        for figures in measuring.measure_growth(templates[0], library):
            console.note(f"measured {figures.entries} entries")
            grown.append(measuring.document(figures))
    return {
        "load_average": os.getloadavg()[0],
        "films": films,
        "peak_mb": memory,
        "commands": [measuring.document(item) for item in commands],
        "growth": grown,
    }


def _show(found: dict[str, Any]) -> None:
    stages = list(found["films"][0]["stages"])
    columns = [Column("FILM"), *(Column(name.upper(), right=True) for name in stages)]
    columns += [Column(name, right=True) for name in ("TOTAL", "FLOOR", "RATIO", "FRAMES/S")]
    console.table(columns, [_film_row(film, stages) for film in found["films"]])
    console.out("CPU seconds per second of film; floor: ffmpeg alone on the same raw frames.")
    memory = found["peak_mb"]
    console.out(f"Peak memory: {memory['own']:.0f} MB, ffmpeg {memory['ffmpeg']:.0f} MB.")
    console.out("Start-up, where every film is current and a Redis has to be started:")
    for item in found["commands"]:
        console.out(f"{item['command']}: {item['cpu'] * 1000:.0f} ms CPU, {item['wall']:.2f} s")
    for item in found["growth"]:
        console.out(
            f"{item['entries']:,} films: status {item['status']:.3f} s, plan {item['plan']:.2f} s "
            f"CPU, {item['peak_mb']:.0f} MB"
        )
    console.out(f"Load average {found['load_average']:.1f}.")


def _film_row(film: dict[str, Any], stages: list[str]) -> list[str]:
    row = [film["name"], *(f"{film['stages'][name]:.3f}" for name in stages)]
    row += [f"{film['total']:.3f}", f"{film['floor']:.3f}", f"{film['ratio']:.2f}"]
    return [*row, f"{film['frames_per_second']:.0f}"]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        return dict(found) if "films" in found else _refuse(path)
    except (OSError, ValueError, TypeError) as exc:
        raise UsageError(
            f"{path} is no earlier run: {exc}", hint="Write one with vidgen bench --json > FILE."
        ) from exc


def _refuse(path: Path) -> dict[str, Any]:
    raise UsageError(f"{path} is no earlier run", hint="Write one with vidgen bench --json > FILE.")


def _changes(found: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    return [*_film_changes(found, earlier), *_command_changes(found, earlier)]


def _film_changes(found: dict[str, Any], earlier: dict[str, Any]) -> Iterator[str]:
    before = {film["name"]: film for film in earlier["films"]}
    for film in found["films"]:
        if old := before.get(film["name"]):
            yield f"{film['name']}: ratio {_change(old['ratio'], film['ratio'])}"
            yield f"{film['name']}: CPU {_change(old['total'], film['total'])}"


def _command_changes(found: dict[str, Any], earlier: dict[str, Any]) -> Iterator[str]:
    before = {item["command"]: item for item in earlier.get("commands", ())}
    for item in found["commands"]:
        if old := before.get(item["command"]):
            yield f"{item['command']}: CPU {_change(old['cpu'], item['cpu'])}"


def _change(old: float, new: float) -> str:
    return f"{old:.3f} → {new:.3f} (× {new / old:.2f})" if old else f"{old:.3f} → {new:.3f}"
