"""`python -m tests.drill`: inject faults and report the damage. Ctrl-C keeps the results so far."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.drill import faults, results, trial
from tests.drill.house import make_base
from tests.drill.results import Book


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    names = options.fault or [name for name in faults.FAULTS if _possible(name)]
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell makes background processes ignore SIGINT.
        signal.signal(number, signal.default_int_handler)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="drill-"))
    book = Book.load(options.results)
    try:
        make_base(folder / "base")
        expected = _measure(folder, options)
        _rehearse(names, options, folder, expected, book)
    except KeyboardInterrupt:
        print("interrupted; these are the results so far", file=sys.stderr)
    if options.json:
        print(json.dumps(book.document(), indent=1))
    else:
        print(results.table(book))
    return 0 if book.clean else 1


def _rehearse(
    names: Sequence[str],
    options: argparse.Namespace,
    folder: Path,
    expected: dict[str, float],
    book: Book,
) -> None:
    """Take the faults in turn, so that a partial table has trials of each."""
    tries = dict.fromkeys(names, 0)
    deadline = time.monotonic() + options.minutes * 60
    while wanted := [name for name in names if _is_wanted(book.count(name), tries[name], options)]:
        for name in wanted:
            if time.monotonic() > deadline:
                return
            seed = _fresh_seed() if options.seed is None else options.seed
            tries[name] += 1
            result = trial.run(faults.FAULTS[name], seed, folder, expected, keep=options.keep)
            print(results.line(result), file=sys.stderr, flush=True)
            # The load of the machine varies, and with it the length of a run.
            expected[result.scene] *= 1.03 if result.struck else 0.85
            if result.struck:
                book.add(result)
                book.save(options.results, options.table)
        if options.seed is not None:
            return


def _fresh_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


def _is_wanted(trials: int, tries: int, options: argparse.Namespace) -> bool:
    # A fault that rarely finds a target must not be tried for ever.
    return trials < options.times and tries < 4 * options.times


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return the length of a run of each scene without a fault, in seconds."""
    cache = folder / "expected.json"
    if cache.exists():
        return dict(json.loads(cache.read_text()))
    expected = {}
    scenes = {scene.name: scene for fault in faults.FAULTS.values() for scene in fault.scenes}
    for name, scene in scenes.items():
        no_fault = faults.Fault("calm", (scene,), faults.FAULTS["none"].strike)
        calm = trial.run(no_fault, 1, folder, {name: 0.0}, keep=options.keep)
        expected[name] = calm.recovery or 5.0
        print(f"without a fault, {name}: {expected[name]:.1f} s", file=sys.stderr, flush=True)
    cache.write_text(json.dumps(expected))
    return expected


def _possible(name: str) -> bool:
    if faults.FAULTS[name].fakes_clock and not faults.can_fake_clocks():
        print(f"{name} is left out: there is no C compiler", file=sys.stderr)
        return False
    return True


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="trials of each fault (3)")
    parser.add_argument(
        "--fault",
        action="append",
        choices=list(faults.FAULTS),
        help="only this fault; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="repeat the trial of this seed, once")
    parser.add_argument(
        "--minutes", type=float, default=600.0, help="start no trial after this time (600)"
    )
    parser.add_argument("--json", action="store_true", help="print every trial as JSON")
    parser.add_argument("--results", type=Path, help="continue the trials in this JSON file")
    parser.add_argument("--table", type=Path, help="write the table to this file")
    parser.add_argument("--folder", help="the folder of the trials; a short path, for sockets")
    parser.add_argument("--keep", action="store_true", help="keep the folders of failed trials")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
