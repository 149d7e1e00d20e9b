"""`vidgen bench`: how fast films are made on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Column
from spritz_cli.cli.documents import name_fields
from spritz_cli.cli.options import Json, Persona, Selection, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted, size
from spritz_cli.errors import UsageError

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import Catalog
    from spritz_cli.models import Template
    from spritz_cli.runs.bench import CommandFigures, FilmFigures, GrowthFigures

#: One film with much text, one with much motion, one text card.
USUAL = ("credit_utilization", "cash_buffer", "hysa_comparison")

#: The document that --compare reads.
SCHEMA = "vidgen/bench/1"

#: Commands that are started often; for `warm` every film is current.
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
    everything: Annotated[
        bool, typer.Option("--all", help="Measure every film of the catalog, not three.")
    ] = False,
    runs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Make each film N times; the median counts.")
    ] = 3,
    growth: Annotated[
        bool, typer.Option("--growth", help="Measure status and plan with up to 20,000 films, too.")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with the --json of an earlier run."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast films are made, by stage. Publishes nothing.

    The floor is ffmpeg alone on the same frames.

    Example: vidgen bench --json > before.json
    """
    earlier = _read(compare) if compare else None
    catalog = _catalog(context)
    templates = _templates(catalog, selection(persona, topic), everything)
    figures = _measure(catalog, templates, settings_of(context).scenes, runs, growth)
    changes = _changes(figures, earlier) if earlier else []
    if as_json:
        return console.document("bench", {**figures, "changes": changes})
    _show(figures)
    for line in changes:
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
    from spritz_cli.runs import bench as measuring
    from spritz_cli.scene.library import SceneLibrary

    library = SceneLibrary(scenes)
    films = []
    for template in templates:
        console.note(f"measuring {template.name}")
        figures = measuring.measure_film(template, library, runs)
        films.append({**name_fields(template.persona, template.topic), **_film_fields(figures)})
    memory = {"own": measuring.peak_bytes(), "ffmpeg": measuring.peak_bytes(children=True)}
    with measuring.current_project(catalog, library) as settings:
        commands = [measuring.measure_command(arguments, settings, 5) for arguments in COMMANDS]
    grown = []
    if growth:
        for point in measuring.measure_growth(templates[0], library):
            console.note(f"measured {counted(point.films, 'film')}")
            grown.append(_growth_fields(point))
    return {
        "load_average": os.getloadavg()[0],
        "films": films,
        "peak_bytes": memory,
        "commands": [_command_fields(item) for item in commands],
        "growth": grown,
    }


def _film_fields(figures: FilmFigures) -> dict[str, Any]:
    return {
        "duration_seconds": figures.seconds,
        "stages": figures.stages,
        "total": figures.total,
        "floor": figures.floor,
        "ratio": figures.ratio,
        "frames_per_second": figures.frames_per_second,
    }


def _command_fields(figures: CommandFigures) -> dict[str, Any]:
    return {
        "command_line": figures.command,
        "seconds": figures.wall,
        "cpu_seconds": figures.cpu,
    }


def _growth_fields(figures: GrowthFigures) -> dict[str, Any]:
    return {
        "films": figures.films,
        "status_cpu_seconds": figures.status,
        "plan_cpu_seconds": figures.plan,
        "peak_bytes": figures.peak_bytes,
    }


def _show(figures: Mapping[str, Any]) -> None:
    stages = list(figures["films"][0]["stages"])
    columns = [Column("FILM"), *(Column(name.upper(), right=True) for name in stages)]
    columns += [Column(name, right=True) for name in ("TOTAL", "FLOOR", "RATIO", "FRAMES/S")]
    console.table(columns, [_film_row(film, stages) for film in figures["films"]])
    console.out("CPU seconds per second of film; floor: ffmpeg alone on the same raw frames.")
    memory = figures["peak_bytes"]
    console.out(f"Peak memory: {size(memory['own'])}, ffmpeg {size(memory['ffmpeg'])}.")
    console.out("Start-up, where every film is current and a Redis has to be started:")
    for item in figures["commands"]:
        milliseconds = item["cpu_seconds"] * 1000
        console.out(f"{item['command_line']}: {milliseconds:.0f} ms CPU, {item['seconds']:.2f} s")
    for item in figures["growth"]:
        status, plan = item["status_cpu_seconds"], item["plan_cpu_seconds"]
        console.out(
            f"{item['films']:,} films: status {status:.3f} s, plan {plan:.2f} s "
            f"CPU, {size(item['peak_bytes'])}"
        )
    console.out(f"Load average {figures['load_average']:.1f}.")


def _film_row(film: dict[str, Any], stages: list[str]) -> list[str]:
    row = [film["name"], *(f"{film['stages'][name]:.3f}" for name in stages)]
    row += [f"{film['total']:.3f}", f"{film['floor']:.3f}", f"{film['ratio']:.2f}"]
    return [*row, f"{film['frames_per_second']:.0f}"]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise _no_earlier_run(path, f": {exc}") from exc
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _no_earlier_run(path)
    return document


def _no_earlier_run(path: Path, why: str = "") -> UsageError:
    return UsageError(
        f"{path} is not the document of an earlier run{why}",
        hint="Write one with vidgen bench --json > FILE.",
    )


def _changes(figures: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    return [*_film_changes(figures, earlier), *_command_changes(figures, earlier)]


def _film_changes(figures: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[str]:
    before = {film["name"]: film for film in earlier["films"]}
    for film in figures["films"]:
        if old := before.get(film["name"]):
            yield f"{film['name']}: ratio {_change(old['ratio'], film['ratio'])}"
            yield f"{film['name']}: CPU {_change(old['total'], film['total'])}"


def _command_changes(figures: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[str]:
    before = {item["command_line"]: item for item in earlier["commands"]}
    for item in figures["commands"]:
        if old := before.get(item["command_line"]):
            change = _change(old["cpu_seconds"], item["cpu_seconds"])
            yield f"{item['command_line']}: CPU {change}"


def _change(old: float, new: float) -> str:
    return f"{old:.3f} → {new:.3f} (× {new / old:.2f})" if old else f"{old:.3f} → {new:.3f}"
