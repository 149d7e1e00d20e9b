"""How vidgen writes: results to stdout, everything else to stderr, no colour in pipes."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from spritz_cli.errors import Interrupted, InvalidFile, StorageError, VidgenError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

#: Major version of every `--json` document; the files in `schemas/` describe them.
JSON_VERSION = 1

#: Whether notices and warnings are left out (--quiet); errors and results never are.
QUIET = ContextVar("QUIET", default=False)

GAP = "  "

#: Columns of words that are thinner than this are hard to read.
THIN = 24


#: The name under which Python knows `_stand_in`.
ENCODING_ERRORS = "vidgen"

#: What is written for a sign that the output's encoding lacks.
STAND_INS = {
    "→": "->",
    "×": "x",
    "…": "...",
    "─": "-",
    "–": "-",
    "—": "-",
    "−": "-",
    "↻": "@",
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
}


class OutputClosed(Exception):
    """The reader of our output went away, as `vidgen status | head -1` does."""


class Cell(NamedTuple):
    """A table cell with a colour, which only terminals show."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """A column of a table, and what becomes of it on a terminal that is too narrow.

    `optional` columns are left out, the last first. `below` columns go on
    lines of their own under the row, once folding would leave them too thin.
    """

    title: str
    right: bool = False
    optional: bool = False
    below: bool = False


Row = Sequence["str | Cell"]


def help_width() -> int:
    """Return how wide help is: 80 columns, or less where the terminal is narrower."""
    return max(30, min(80, shutil.get_terminal_size().columns) - 2)


def prepare_streams() -> None:
    """Make sure that printing cannot fail for lack of a stream or of a letter in the locale."""
    # A stream is None if the caller closed it, as `vidgen status >&-` does.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ENCODING_ERRORS)


def out(text: str = "") -> None:
    """Write a line of the result."""
    _write(sys.stdout, text + "\n")


def note(text: str = "") -> None:
    """Write a line that is not the result, such as progress; --quiet leaves it out."""
    if not QUIET.get():
        complain(text)


def warning(text: str) -> None:
    """Write what is probably not meant, but does not stop the command."""
    note(_painted("warning:", "1;33") + f" {_escaped(text)}")


def complain(text: str = "") -> None:
    """Write a line that says why the command failed, also with --quiet."""
    _write(sys.stderr, text + "\n")
    _flush(sys.stderr)


def document(command: str, fields: Mapping[str, Any], *, on_one_line: bool = False) -> None:
    """Write the JSON document that a command answers `--json` with."""
    _write_document(command, command, fields, on_one_line=on_one_line)


def flush() -> None:
    """Flush stdout; raises OutputClosed if its reader is gone."""
    _write(sys.stdout, "")
    _flush(sys.stdout)


def discard_output() -> None:
    """Keep the interpreter from reporting a closed pipe when it exits."""
    nowhere = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere.fileno(), stream.fileno())


def error(problem: VidgenError) -> None:
    """Write what is wrong and what to do about it, to stderr."""
    if isinstance(problem, InvalidFile):
        return _file_error(problem)
    if isinstance(problem, Interrupted):
        return complain(problem.message)
    _error_lines(problem.message, problem.hint)


def error_document(command: str | None, problem: VidgenError, *, on_one_line: bool = False) -> None:
    """Write the JSON document of a command that could not answer; None if none was named."""
    problems = problem.problems if isinstance(problem, InvalidFile) else ()
    answer: dict[str, Any] = {
        "message": problem.message,
        "hint": problem.hint,
        "exit_code": problem.exit_code,
        "problems": [item._asdict() for item in problems],
    }
    _write_document("error", command, {"error": answer}, on_one_line=on_one_line)


def interactive(stream: TextIO) -> bool:
    """Say whether colour and moving bars make sense on this stream."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def redraws(stream: TextIO) -> bool:
    """Say whether what was written to this stream can be overwritten."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write a table: aligned and never cut in pipes, coloured and fitted on a terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    if interactive(sys.stdout):
        _rich_table(columns, cells)
    else:
        _plain_table(columns, cells)


def grid(columns: Sequence[Column], rows: Iterable[Row], room: int) -> RichTable:
    """Return a table for a terminal of `room` columns, to be shown with others."""
    cells = [[_cell(value) for value in row] for row in rows]
    return _grid(columns, cells, _fitting(columns, cells, room))


def rich_console(stream: TextIO) -> Console:
    """Return a console that prints text as it is: no markup, no guessed highlights."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _write_document(
    shape: str, command: str | None, fields: Mapping[str, Any], *, on_one_line: bool
) -> None:
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    head = {"schema": f"vidgen/{shape}/{JSON_VERSION}", "command": command}
    indent = None if on_one_line else 2
    out(json.dumps({**head, **fields}, indent=indent, ensure_ascii=ascii_only))


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(STAND_INS.get(sign, "?") for sign in missing), error.end


codecs.register_error(ENCODING_ERRORS, _stand_in)


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        if stream.isatty():
            stream.flush()
    except OSError as exc:
        raise _unwritable(exc) from exc


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as exc:
        raise _unwritable(exc) from exc


def _unwritable(exc: OSError) -> Exception:
    if isinstance(exc, BrokenPipeError):
        return OutputClosed()
    return StorageError(
        f"the output cannot be written: {exc.strerror}",
        hint="Look at where the output is redirected to.",
    )


def _error_lines(message: str, hint: str) -> None:
    complain(_painted("error:", "1;31") + f" {_escaped(message)}")
    if hint:
        complain(_painted("hint:", "1;36") + f" {_escaped(hint)}")


def _escaped(text: str) -> str:
    """Make control characters visible: a quoted argument must not steer the terminal."""
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign)[0] == "C" else sign
        for sign in text
    )


def _file_error(problem: InvalidFile) -> None:
    for item in problem.problems:
        _error_lines(str(item), item.hint)
    count = len(problem.problems)
    complain(f"{count} problem{'' if count == 1 else 's'} in all; nothing was done.")


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if interactive(sys.stderr) else text


def _cell(value: str | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _plain_table(columns: Sequence[Column], rows: list[list[Cell]]) -> None:
    widths = _widths(columns, rows)
    for row in ([Cell(column.title) for column in columns], *rows):
        padded = (
            cell.text.rjust(width) if column.right else cell.text.ljust(width)
            for cell, column, width in zip(row, columns, widths, strict=True)
        )
        out(GAP.join(padded).rstrip())


def _rich_table(columns: Sequence[Column], rows: list[list[Cell]]) -> None:
    console = rich_console(sys.stdout)
    kept = _fitting(columns, rows, console.width)
    if _too_thin(columns, rows, kept, console.width):
        return _stacked(columns, rows, console)
    console.print(_grid(columns, rows, kept))


def _grid(columns: Sequence[Column], rows: list[list[Cell]], kept: Sequence[int]) -> RichTable:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for index in kept:
        column = columns[index]
        grid.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(row[index].text, style=row[index].style) for index in kept))
    return grid


def _stacked(columns: Sequence[Column], rows: list[list[Cell]], console: Console) -> None:
    """Write each row as a line of what fits, and the rest of it indented below."""
    from rich.padding import Padding
    from rich.text import Text

    widths = _widths(columns, rows)
    for row in rows:
        line = Text()
        for cell, column, width in zip(row, columns, widths, strict=True):
            if not column.below:
                line.append(cell.text.ljust(width) + GAP, style=cell.style)
        console.print(line)
        for cell, column in zip(row, columns, strict=True):
            if column.below and cell.text:
                text = Text(cell.text, style=cell.style, overflow="fold")
                console.print(Padding(text, (0, 0, 0, len(GAP))))


def _too_thin(
    columns: Sequence[Column], rows: list[list[Cell]], kept: Sequence[int], room: int
) -> bool:
    below = [index for index in kept if columns[index].below]
    if not below:
        return False
    widths = _widths(columns, rows)
    beside = sum(widths[index] for index in kept if index not in below)
    left = room - beside - len(GAP) * len(kept)
    return sum(widths[index] for index in below) > left and left < THIN * len(below)


def _fitting(columns: Sequence[Column], rows: list[list[Cell]], room: int) -> list[int]:
    """Return the columns to show; without its optional ones a table may still have to fold."""
    widths = _widths(columns, rows)
    kept = list(range(len(columns)))
    for index in reversed(range(len(columns))):
        needed = sum(widths[i] for i in kept) + len(GAP) * len(kept)
        if needed > room and columns[index].optional:
            kept.remove(index)
    return kept


def _widths(columns: Sequence[Column], rows: list[list[Cell]]) -> list[int]:
    return [
        max(len(column.title), *(len(row[index].text) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
