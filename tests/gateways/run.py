"""Buys footage through foreign servers, and compares their bill with our own count.

usage: .venv/bin/python -m tests.gateways.run [--only NAME ...] [--keep]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from spritz_cli.errors import VidgenError
from spritz_cli.models import dollars
from tests.gateways.cases import GATEWAYS, Lab
from tests.gateways.desk import Row
from tests.gateways.project import Broken
from tests.gateways.servers import NotStarted, is_installed

LINE = "{:3} {:22} {:37} {:40} {:>4} {:>7} {:>8} {:>8}"
TITLES = ("", "GATEWAY", "CASE", "OUTCOME", "SENT", "ARRIVED", "CHARGED", "COUNTED")


def main() -> int:
    options = _options()
    # A background job ignores SIGINT, and so would every process that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    _forget_settings()
    folder = Path(tempfile.mkdtemp(prefix="gateways-"))
    try:
        rows, problems = _run(options.only or GATEWAYS, folder)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _end(rows, problems, folder, keep=options.keep)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=GATEWAYS, help="these instead of all")
    parser.add_argument("--keep", action="store_true", help="keep films and logs")
    return parser.parse_args()


def _run(names: Iterable[str], folder: Path) -> tuple[list[Row], list[str]]:
    """Return the results of all cases, and the gateways that failed."""
    rows: list[Row] = []
    problems: list[str] = []
    _say(LINE.format(*TITLES))
    for name in names:
        try:
            for row in _rows(name, folder):
                rows.append(row)
                _say(_line(row))
        except (NotStarted, Broken, VidgenError, OSError) as exc:
            problems.append(f"{name}: {exc}")
    return rows, problems


def _rows(name: str, folder: Path) -> Iterator[Row]:
    needs, cases = GATEWAYS[name]
    missing = [need for need in needs if not is_installed(need)]
    if missing:
        raise NotStarted(f"{' and '.join(missing)} could not be installed, see above")
    place = folder / name
    place.mkdir()
    yield from cases(Lab(place))


def _end(rows: Sequence[Row], problems: Sequence[str], folder: Path, *, keep: bool) -> int:
    wrong = [row for row in rows if not row.is_right]
    for row in wrong:
        outcome, tally = row.expected
        _say(f"\n{row.gateway}, {row.case}:\n  expected {outcome}, {tally}")
        _say(f"  got      {row.outcome}, {row.tally}")
    for problem in problems:
        _say(f"\nerror: {problem}")
    right = not wrong and not problems
    _say(f"\n{len(rows) - len(wrong)} of {len(rows)} cases came out as expected")
    if right and not keep:
        shutil.rmtree(folder)
    else:
        _say(f"films and logs: {folder}")
    return 0 if right else 1


def _line(row: Row) -> str:
    tally = row.tally
    amounts = (f"${dollars(amount)}" for amount in (tally.charged, tally.counted))
    mark = "ok" if row.is_right else "NO"
    cells = (mark, row.gateway, row.case, row.outcome, tally.sent, tally.arrived, *amounts)
    return LINE.format(*cells)


def _forget_settings() -> None:
    """Remove settings of the caller that would reach vidgen or a gateway."""
    for name in list(os.environ):
        if name.startswith(("VIDGEN_", "OPENAI_", "REDIS_URL")) or name.lower().endswith("_proxy"):
            del os.environ[name]


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
