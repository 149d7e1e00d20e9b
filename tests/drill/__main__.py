"""`python -m tests.drill`: rehearse faults and say what they cost. Ctrl-C keeps what was found."""

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
        # In the background, a shell has Ctrl-C ignored.
        signal.signal(number, signal.default_int_handler)
    place = Path(options.folder or tempfile.mkdtemp(prefix="drill-"))
    book = Book.load(options.results)
    try:
        make_base(place / "base")
        expected = _measure(place, options)
        _rehearse(names, options, place, expected, book)
    except KeyboardInterrupt:
        print("interrupted; this is what was found so far", file=sys.stderr)
    if options.json:
        print(json.dumps(book.document(), indent=1))
    else:
        print(results.table(book))
    return 0 if book.clean else 1


def _rehearse(
    names: Sequence[str],
    options: argparse.Namespace,
    place: Path,
    expected: dict[str, float],
    book: Book,
) -> None:
    """Go round the faults, so that a partial table holds something of each."""
    tries = dict.fromkeys(names, 0)
    until = time.monotonic() + options.minutes * 60
    while open_ := [
        n for n in names if book.count(n) < options.times and tries[n] < 4 * options.times
    ]:
        for name in open_:
            if time.monotonic() > until:
                return
            seed = _fresh_seed() if options.seed is None else options.seed
            tries[name] += 1
            found = trial.run(faults.FAULTS[name], seed, place, expected, keep=options.keep)
            print(results.line(found), file=sys.stderr, flush=True)
            # Others use this machine too: what was quick may be slow now.
            expected[found.scene] *= 1.03 if found.struck else 0.85
            if found.struck:
                book.add(found)
                book.save(options.results, options.table)
        if options.seed is not None:
            return


def _fresh_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


def _is_wanted(trials: int, tries: int, options: argparse.Namespace) -> bool:
    # A fault that hardly ever finds something to strike must not go on for ever.
    return trials < options.times and tries < 4 * options.times


def _measure(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """How long a run of each scene takes without a fault, in seconds."""
    known = place / "expected.json"
    if known.exists():
        return dict(json.loads(known.read_text()))
    expected = {}
    scenes = {scene.name: scene for fault in faults.FAULTS.values() for scene in fault.scenes}
    for name, scene in scenes.items():
        quiet = faults.Fault("calm", (scene,), faults.FAULTS["none"].strike)
        calm = trial.run(quiet, 1, place, {name: 0.0}, keep=options.keep)
        expected[name] = calm.recovery or 5.0
        print(f"without a fault, {name}: {expected[name]:.1f} s", file=sys.stderr, flush=True)
    known.write_text(json.dumps(expected))
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
        "--fault", action="append", choices=list(faults.FAULTS), help="only this; may be repeated"
    )
    parser.add_argument("--seed", type=int, help="repeat the trial of this seed, once")
    parser.add_argument("--minutes", type=float, default=600.0, help="begin none after this time")
    parser.add_argument("--json", action="store_true", help="every trial as JSON on stdout")
    parser.add_argument("--results", type=Path, help="keep the trials here, and add to them")
    parser.add_argument("--table", type=Path, help="keep the table here")
    parser.add_argument("--folder", help="where the trials take place; a short path")
    parser.add_argument("--keep", action="store_true", help="keep the folders of failed trials")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
