"""The trials of all faults, stored as JSON, and a table that summarizes them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.drill.trial import Result

#: The longest time from the end of a fault until every film is ready, in seconds.
MAX_RECOVERY = 30.0

_TITLES = ("FAULT", "TRIALS", "LOST", "DUPL", "STUCK", "LEFT", "VANISHED", "NEVER", "RERUNS")
_TIMES = ("MEDIAN", "MAX")
_ROW = "{:18}{:>7}{:>6}{:>6}{:>7}{:>6}{:>10}{:>7}{:>8}{:>9}{:>9}"


@dataclass
class Book:
    """All trials whose fault found a target, in the order in which they took place."""

    results: list[Result] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None) -> Book:
        if path is None or not path.exists():
            return cls()
        trials = json.loads(path.read_text())["trials"]
        names = set(Result.__dataclass_fields__)
        return cls(
            [Result(**{name: trial[name] for name in names & set(trial)}) for trial in trials]
        )

    def add(self, result: Result) -> None:
        self.results.append(result)

    def count(self, fault: str) -> int:
        return sum(1 for result in self.results if result.fault == fault)

    def by_fault(self) -> dict[str, list[Result]]:
        names = dict.fromkeys(result.fault for result in self.results)
        return {name: [one for one in self.results if one.fault == name] for name in names}

    @property
    def clean(self) -> bool:
        return all(one.clean and (one.recovery or 0) < MAX_RECOVERY for one in self.results)

    def document(self) -> dict[str, Any]:
        summary = {name: _summary(trials) for name, trials in self.by_fault().items()}
        trials = [asdict(result) for result in self.results]
        return {"clean": self.clean, "faults": summary, "trials": trials}

    def save(self, results: Path | None, text: Path | None) -> None:
        if results:
            _write(results, json.dumps(self.document(), indent=1))
        if text:
            _write(text, table(self) + "\n")


def table(book: Book) -> str:
    """Format one row per fault; times run from the end of the fault until all films are ready."""
    rows: list[tuple[str, ...]] = [(*_TITLES, *_TIMES)]
    for name, trials in book.by_fault().items():
        summary = _summary(trials)
        counts = (str(summary[key]) for key in _COUNTS)
        times = (f"{summary[key]:.1f} s" for key in ("recovery_median", "recovery_max"))
        rows.append((name, *counts, *times))
    return "\n".join(_ROW.format(*row) for row in rows)


def line(result: Result) -> str:
    """Format one trial as a line, with everything that went wrong."""
    name = f"{result.fault} --seed {result.seed}"
    if not result.struck:
        return f"{name}: no target after {result.instant:.1f} s ({result.scene})"
    problems = {
        "LOST": result.lost,
        "DUPLICATES": result.duplicates,
        "STUCK": result.stuck,
        "LEFT": result.leftovers,
        "VANISHED": result.vanished,
        "failed": result.failures,
    }
    listed = "; ".join(f"{key} {', '.join(value)}" for key, value in problems.items() if value)
    end = "never" if result.recovery is None else f"{result.recovery:.1f} s"
    text = f"{name} ({result.scene}) at {result.instant:.1f} s: {result.detail}; ready after {end}"
    return f"{text}, {result.seconds:.0f} s in all. {listed}"


_COUNTS = (
    "trials",
    "lost",
    "duplicates",
    "stuck",
    "leftovers",
    "vanished",
    "never_ready",
    "reruns",
)


def _summary(trials: Sequence[Result]) -> dict[str, Any]:
    times = [one.recovery for one in trials if one.recovery is not None]
    return {
        "trials": len(trials),
        "lost": _total(one.lost for one in trials),
        "duplicates": _total(one.duplicates for one in trials),
        "stuck": _total(one.stuck for one in trials),
        "leftovers": _total(one.leftovers for one in trials),
        "vanished": _total(one.vanished for one in trials),
        "reruns": sum(one.reruns for one in trials),
        "never_ready": sum(1 for one in trials if one.recovery is None),
        "encodes": sum(one.encodes for one in trials),
        "recovery_median": statistics.median(times) if times else 0.0,
        "recovery_max": max(times, default=0.0),
        "failed_seeds": [one.seed for one in trials if not one.clean],
    }


def _total(lists: Iterable[Sequence[str]]) -> int:
    return sum(len(items) for items in lists)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.rename(path)
