"""`vidgen completion`: a script that has the shell ask `vidgen __complete` for candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from spritz_cli.cli import console
from spritz_cli.cli.options import Json
from spritz_cli.cli.quick import QuickCommand

Shell = Literal["bash", "zsh", "fish"]

SCRIPTS = Path(__file__).parent / "completions"


def register(app: typer.Typer) -> None:
    app.command(cls=QuickCommand, epilog="Exit codes: 0 printed, 2 usage.")(completion)


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    as_json: Json = False,
) -> None:
    """Print a script that completes commands, options and films.

    For bash and zsh, put the line of the example into ~/.bashrc or ~/.zshrc (there,
    after compinit and with zsh). For fish, put this into ~/.config/fish/config.fish:
    vidgen completion fish | source

    Example: source <(vidgen completion bash)
    """
    script = (SCRIPTS / f"vidgen.{shell}").read_text("utf-8")
    if as_json:
        return console.document("completion", {"shell": shell, "script": script})
    console.out(script.rstrip("\n"))
