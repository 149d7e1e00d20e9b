"""How a failure looks from outside: every exception becomes a VidgenError."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import typer

from spritz_cli.cli import console
from spritz_cli.cli.options import Invocation
from spritz_cli.errors import UsageError, VidgenError


def usage_error(error: typer.TyperException) -> UsageError:
    """Put a complaint of the argument parser into our form."""
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context else "vidgen"
    # Typer has pydantic check values, whose messages begin with the kind of the error.
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    return UsageError(message[:1].lower() + message[1:], hint=f"See {command} --help.")


def internal_error(error: Exception, given: Sequence[str], invocation: Invocation) -> VidgenError:
    """Put a fault of vidgen into one line, and its traceback into a file."""
    text = "".join(traceback.format_exception(error))
    if _debugging(invocation):
        console.complain(text)
    where = _keep(f"vidgen {' '.join(given)}\n{text}", invocation)
    first_line = (str(error).splitlines() or [""])[0]
    return VidgenError(
        f"internal: {type(error).__name__}: {first_line}",
        hint=f"This is a fault in vidgen. {where}",
    )


def _keep(text: str, invocation: Invocation) -> str:
    for folder in _folders(invocation):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix="error-", suffix=".log", dir=folder)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return f"The details are in {path}"
    return "Run it again with VIDGEN_LOG=DEBUG for the details."


def _debugging(invocation: Invocation) -> bool:
    try:
        return invocation.settings.log == "DEBUG"
    except VidgenError:
        return False


def _folders(invocation: Invocation) -> list[Path]:
    elsewhere = Path(tempfile.gettempdir())
    try:
        return [invocation.settings.state_dir, elsewhere]
    except VidgenError:
        return [elsewhere]
