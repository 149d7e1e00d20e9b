"""Measuring works; what it measures is nobody's business in a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.bootstrap import open_services
from spritz_cli.cli import main
from spritz_cli.cli.bench import COMMANDS, _changes
from spritz_cli.cli.options import selection
from spritz_cli.cli.plan import planned
from spritz_cli.runs import bench
from spritz_cli.settings import load_settings
from tests.scenes import shipped_scenes


def test_every_stage_of_a_film_is_measured(catalog) -> None:
    (template,) = catalog.select(topic="hysa_comparison")
    figures = bench.measure_film(replace(template, duration_seconds=4), shipped_scenes(), runs=1)
    assert tuple(figures.stages) == bench.STAGES
    assert all(cpu >= 0 for cpu in figures.stages.values())
    assert figures.floor > 0
    assert figures.total == pytest.approx(figures.ratio * figures.floor)


def test_growth_is_measured_over_published_films(catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "GROWTH", (2, 5))
    (template,) = catalog.select(topic="hysa_comparison")
    grown = list(bench.measure_growth(template, shipped_scenes()))
    assert [figures.films for figures in grown] == [2, 5]


def test_a_command_is_measured_as_a_process(tmp_path: Path) -> None:
    figures = bench.measure_command(["--help"], load_settings({}, tmp_path), runs=1)
    assert figures.command == "vidgen --help"
    assert figures.cpu > 0


def test_a_second_warm_is_measured_where_nothing_is_left_to_make(catalog) -> None:
    assert ("warm", "--all") in COMMANDS
    with bench.current_project(catalog, shipped_scenes()) as settings:
        with open_services(settings) as services:
            items = planned(services, selection(None, None), force=False)
        assert {item.action for item in items} == {"keep"}
        figures = bench.measure_command(["warm", "--all"], settings, runs=1)
        assert figures.wall > 0


def test_what_the_caller_has_set_reaches_no_measured_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("VIDGEN_PROVIDER", "someone")
    bench.measure_command(["doctor"], load_settings({}, tmp_path), runs=1)


def test_a_run_is_compared_with_an_earlier_one() -> None:
    def run(ratio: float, cpu: float) -> dict:
        film = {"name": "a/b", "ratio": ratio, "total": cpu}
        command = {"command_line": "vidgen plan", "cpu_seconds": cpu}
        return {"films": [film], "commands": [command]}

    assert _changes(run(1.5, 0.2), run(2.0, 0.4)) == [
        "a/b: ratio 2.000 → 1.500 (× 0.75)",
        "a/b: CPU 0.400 → 0.200 (× 0.50)",
        "vidgen plan: CPU 0.400 → 0.200 (× 0.50)",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"schema": "vidgen/plan/1"})])
def test_a_file_that_is_no_earlier_run_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "before.json"
    earlier.write_text(text)
    assert main(["bench", "--compare", str(earlier)]) == 2
    assert f"{earlier} is not the document of an earlier run" in capsys.readouterr().err
