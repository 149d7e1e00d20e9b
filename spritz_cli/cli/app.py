"""The Typer application, its global options, and how errors become exit codes."""

from __future__ import annotations

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

from spritz_cli.cli import INTERRUPTED, console
from spritz_cli.cli.options import Invocation
from spritz_cli.cli.quick import LateCommands, QuickGroup
from spritz_cli.errors import UsageError, VidgenError, libraries_of

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
)

#: Accepted before and after the command.
GLOBAL_OPTIONS = ("--catalog", "--videos-dir", "--state-dir", "--log-level")


class Commands(QuickGroup):
    """Says so when a command was interrupted; the command itself has cleaned up by then."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Typer only looks them up.
        self.commands = LateCommands("spritz_cli.cli", COMMANDS)  # type: ignore[assignment]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            console.note("interrupted")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 finished but something asked for is not so, 2 usage or "
    "invalid catalog, 3 infrastructure, 130 interrupted.",
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    catalog: Annotated[
        Path | None,
        typer.Option(help="The catalog; default ./templates.yaml, else the one shipped."),
    ] = None,
    videos_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="Where films are published: a folder (./videos) or s3://BUCKET."
        ),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Embedded Redis, caches and logs; default ./.vidgen.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="DEBUG, INFO, WARNING (default) or ERROR, on stderr.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Make every explainer film of a catalog and publish it to a Redis manifest.

    Example: vidgen warm --all --sync
    """
    if version:
        _print_version()
    if context.invoked_subcommand is None:
        console.note(context.get_help())
        raise typer.Exit(UsageError.exit_code)
    invocation: Invocation = context.obj
    invocation.flags = {
        "catalog": catalog,
        "videos_dir": videos_dir,
        "state_dir": state_dir,
        "log": log_level,
    }
    _log_to_stderr(invocation.settings.log)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; nothing but exit codes leaves this function."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    console.prepare_streams()
    with _terminations_interrupt():
        return _finish(_answer(given, Invocation()))


def globals_first(arguments: Sequence[str]) -> list[str]:
    """Move global options to the front, so that they work on either side of the command."""
    front: list[str] = []
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            rest += [argument, *pending]
        elif name in GLOBAL_OPTIONS:
            front += [argument] if equals else [argument, *islice(pending, 1)]
        else:
            rest.append(argument)
    return front + rest


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
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line
        from spritz_cli.cli.failures import internal_error

        return _fail(internal_error(error, given, invocation), given)
    return code


def _run_command(given: list[str], invocation: Invocation) -> int:
    arguments = globals_first(given)
    with libraries_of("spritz-vidgen"):
        code = app(args=arguments, prog_name="vidgen", standalone_mode=False, obj=invocation)
    return code if isinstance(code, int) else 0


def _print_version() -> NoReturn:
    from spritz_cli import __version__

    console.out(f"vidgen {__version__}")
    raise typer.Exit


def _log_to_stderr(level: str) -> None:
    import logging

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("spritz_cli").setLevel(level)


@contextmanager
def _terminations_interrupt() -> Iterator[None]:
    """Let a polite kill or a closed terminal clean up exactly as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        # nohup, for one, has them ignored: leave it at that.
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
        if "--json" in given:
            console.error_document(error)
    except (console.OutputClosed, VidgenError):
        pass
    return error.exit_code


def _finish(code: int) -> int:
    try:
        console.flush()
    except (console.OutputClosed, VidgenError):
        console.discard_output()
    return code
