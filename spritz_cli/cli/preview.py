"""`vidgen preview`: look at a scene without making the film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from spritz_cli.cli import console
from spritz_cli.cli.documents import name_fields
from spritz_cli.cli.options import Json, Persona, Topic, selection, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.errors import UsageError
from spritz_cli.models import Template


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 written, 1 the scene cannot be drawn, 2 usage or invalid catalog, "
        "3 infrastructure.",
    )(preview)


def preview(
    context: typer.Context,
    persona: Persona = None,
    topic: Topic = None,
    at: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Draw the frame of this second, not the last."),
    ] = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Draw a contact sheet, one frame per second.")
    ] = False,
    kit: Annotated[
        bool, typer.Option("--kit", help="Draw no film but every macro that scenes share.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The PNG to write; default ./TOPIC-SECOND.png."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw one frame of a film, a contact sheet or the kit as PNG.

    Example: vidgen preview savings_builder goal_setting --at 6.5
    """
    if kit:
        return _draw_kit(context, persona, at, out, sheet=sheet, as_json=as_json)
    if persona is None:
        raise UsageError("missing argument 'PERSONA'", hint="See vidgen preview --help.")
    wanted = selection(persona, topic)
    if sheet and at is not None:
        raise UsageError("--sheet and --at contradict each other", hint="Give one of them.")
    if out and out.suffix.lower() not in ("", ".png"):
        raise UsageError(
            f"{out} would hold a PNG", hint=f"Give --out a name such as {out.stem}.png."
        )
    template = _template(context, wanted.persona, wanted.topic)
    second = _second(template, at)
    path = out or Path(f"{template.topic}-{'sheet' if sheet else f'{second:g}'}.png")
    _draw(context, template, path, None if sheet else second)
    _show(path, [template], "sheet" if sheet else "frame", None if sheet else second, as_json)


def _show(
    path: Path, films: Sequence[Template], kind: str, second: float | None, as_json: bool
) -> None:
    if not as_json:
        return console.out(str(path))
    fields = {"kind": kind, "second": second, "path": str(path.absolute())}
    names = [name_fields(film.persona, film.topic) for film in films]
    console.document("preview", {"films": names, **fields, "bytes": path.stat().st_size})


def _draw_kit(
    context: typer.Context,
    persona: str | None,
    at: float | None,
    out: Path | None,
    *,
    sheet: bool,
    as_json: bool,
) -> None:
    from spritz_cli.scene.library import SceneLibrary
    from spritz_cli.scene.preview import kit_sheet

    if persona or sheet or at is not None:
        raise UsageError("--kit shows no film", hint="Give it no film, no --at and no --sheet.")
    path = out or Path("kit.png")
    with _writing(path):
        kit_sheet(SceneLibrary(settings_of(context).scenes), path)
    _show(path, (), "kit", None, as_json)


def _template(context: typer.Context, persona: str, topic: str) -> Template:
    from spritz_cli.catalog.loader import load_catalog

    settings = settings_of(context)
    catalog = load_catalog(settings.catalog, settings.scenes, settings.state_dir)
    selected = catalog.select(persona, topic)
    first = selected[0]
    if len(selected) > 1:
        raise UsageError(
            f"{persona} {topic} names {len(selected)} films, a preview shows one",
            hint=f"Name the topic, e.g. vidgen preview {first.persona} {first.topic}.",
        )
    return first


def _second(template: Template, at: float | None) -> float:
    last = template.duration_seconds - 0.1
    if at is not None and at > template.duration_seconds:
        raise UsageError(
            f"{template.name} has no second {at:g}: it lasts {template.duration_seconds} s",
            hint=f"Give --at a second from 0 to {last:g}.",
        )
    return last if at is None else min(at, last)


def _draw(context: typer.Context, template: Template, path: Path, second: float | None) -> None:
    from spritz_cli.scene.library import SceneLibrary
    from spritz_cli.scene.preview import contact_sheet, frame_png

    library = SceneLibrary(settings_of(context).scenes)
    with _writing(path):
        if second is None:
            contact_sheet(template, library, path)
        else:
            frame_png(template, library, second, path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file with --out."
        ) from exc
