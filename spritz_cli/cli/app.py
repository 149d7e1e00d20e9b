"""The Typer application, its global options, and how errors become exit codes."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from spritz_cli.cli import console
from spritz_cli.cli.options import Invocation
from spritz_cli.cli.quick import LateCommands, QuickGroup
from spritz_cli.errors import Interrupted, UsageError, VidgenError, libraries_of
from spritz_cli.settings import Given

#: 128 + SIGPIPE, as shells count.
PIPE_CLOSED = 141

#: In the order of --help; each is the module of its name.
COMMANDS = (
    "warm",
    "plan",
    "status",
    "budget",
    "cleanup",
    "lint",
    "preview",
    "gallery",
    "doctor",
    "worker",
    "bench",
    "config",
    "completion",
)

#: Accepted before and after the command: options with a value, and switches.
GLOBAL_OPTIONS = ("--catalog", "--videos-dir", "--state-dir", "--log-level")
GLOBAL_SWITCHES = r"-[qvV]+|--quiet|--verbose|--version"

#: `vidgen __complete WORD...` answers the scripts of `vidgen completion`.
COMPLETE = "__complete"


class Commands(QuickGroup):
    """All commands; an interrupt reaches us after the command has cleaned up."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Typer expects a dict but only looks commands up.
        self.commands = LateCommands("spritz_cli.cli", COMMANDS)  # type: ignore[assignment]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "terminal_width": console.help_width(),
    },
    epilog="Exit codes: 0 done, 1 finished but something asked for is not so, 2 usage or "
    "invalid catalog, 3 infrastructure, 130 interrupted. `vidgen help COMMAND` explains a "
    "command; the options above may also stand after it.",
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    catalog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The catalog; default ./templates.yaml or ours."),
    ] = None,
    videos_dir: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Where films go: a folder (./videos) or s3://BUCKET."),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Embedded Redis, caches and logs; default ./.vidgen."),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Log DEBUG, INFO, WARNING (default) or ERROR."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Write results and errors only.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "-v", "--verbose", count=True, show_default=False, help="Log INFO; -vv: DEBUG."
        ),
    ] = 0,
    version: Annotated[
        bool, typer.Option("-V", "--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Make every explainer film of a catalog and publish it to a Redis manifest.

    Example: vidgen warm --all --sync
    """
    if version:
        _print_version()
    if context.invoked_subcommand is None:
        console.complain(context.get_help())
        raise typer.Exit(UsageError.exit_code)
    console.QUIET.set(quiet)
    invocation: Invocation = context.obj
    invocation.flags = {
        "catalog": Given(catalog, "flag", "--catalog"),
        "videos_dir": Given(videos_dir, "flag", "--videos-dir"),
        "state_dir": Given(state_dir, "flag", "--state-dir"),
        "log": _log_flag(log_level, quiet, verbose),
    }


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; nothing but exit codes leaves this function."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    console.prepare_streams()
    console.QUIET.set(False)
    with _terminations_interrupt():
        return _finish(_answer(given, Invocation()))


def globals_first(arguments: Sequence[str]) -> list[str]:
    """Move global options to the front, so that they work on either side of the command."""
    front, rest = _split(arguments)
    return front + rest


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the global options from the command and its own arguments."""
    front: list[str] = []
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            rest += [argument, *pending]
        elif name in GLOBAL_OPTIONS:
            front += [argument] if equals else [argument, *islice(pending, 1)]
        elif re.fullmatch(GLOBAL_SWITCHES, argument):
            front.append(argument)
        else:
            rest.append(argument)
    return front, rest


def _log_flag(log_level: str | None, quiet: bool, verbose: int) -> Given:
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other", hint="Give one of them.")
    if log_level is not None:
        return Given(log_level, "flag", "--log-level")
    if quiet:
        return Given("ERROR", "flag", "--quiet")
    level = {0: None, 1: "INFO"}.get(verbose, "DEBUG")
    return Given(level, "flag", "--verbose")


def _answer(given: list[str], invocation: Invocation) -> int:
    try:
        code = _run_command(given, invocation)
        console.flush()
    except VidgenError as error:
        return _fail(error, given)
    except typer.TyperException as error:
        from spritz_cli.cli.failures import usage_error

        return _fail(usage_error(error), given)
    except console.OutputClosed:
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _fail(Interrupted("interrupted"), given)
    except Exception as error:  # noqa: BLE001 - the user gets one line, whatever happened
        from spritz_cli.cli.failures import internal_error

        return _fail(internal_error(error, given, invocation), given)
    return code


def _run_command(given: list[str], invocation: Invocation) -> int:
    if given[:1] == [COMPLETE]:
        from spritz_cli.cli.candidates import complete

        return complete(typer.main.get_command(app), given[1:])
    front, rest = _split(given)
    if rest[:1] == ["help"]:
        rest = [*(word for word in rest if word != "help"), "--help"]
    with libraries_of("spritz-vidgen"):
        code = app(args=front + rest, prog_name="vidgen", standalone_mode=False, obj=invocation)
    return code if isinstance(code, int) else 0


def _print_version() -> NoReturn:
    from spritz_cli import __version__

    console.out(f"vidgen {__version__}")
    raise typer.Exit


@contextmanager
def _terminations_interrupt() -> Iterator[None]:
    """Have SIGTERM and SIGHUP clean up exactly as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        # Under nohup, for example, they are ignored and stay ignored.
        if handler is signal.SIG_DFL:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(error: VidgenError, given: Sequence[str]) -> int:
    try:
        console.error(error)
        _document(error, given)
    except (console.OutputClosed, VidgenError):
        pass
    return error.exit_code


def _document(error: VidgenError, given: Sequence[str]) -> None:
    """Write the error as a document if the command was called with --json."""
    _, rest = _split(given)
    options = rest[: rest.index("--")] if "--" in rest else rest
    if "--json" in options:
        first = next((word for word in options if not word.startswith("-")), None)
        console.error_document(first if first in COMMANDS else None, error)


def _finish(code: int) -> int:
    try:
        console.flush()
    except (console.OutputClosed, VidgenError):
        console.discard_output()
    return code
