"""What commands accept, print and exit with; nothing here renders or needs a server."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from spritz_cli.cli import console, main, report
from spritz_cli.cli.app import COMMANDS, app, globals_first
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.documents import film_fields, video_fields
from spritz_cli.cli.options import selection
from spritz_cli.cli.progress import LiveWatch, PlainWatch, Tally, result_line, shortened
from spritz_cli.cli.report import Run
from spritz_cli.cli.units import age, counted, parse_span, size, span
from spritz_cli.errors import CatalogError, Problem, RedisUnavailable, StorageError, UsageError
from spritz_cli.films.planning import PlanItem
from spritz_cli.models import Outcome, Video
from spritz_cli.runs.common import Event
from spritz_cli.testing import sample_template
from tests import documents


def sample_video(**changes: Any) -> Video:
    video = Video(
        persona="high_utilization",
        topic="credit_utilization",
        status="ready",
        text_headline="Lower your utilization",
        text_body="Pay before the statement.",
        text_action="See your cards",
        alt="A gauge falls.",
        url="/videos/high_utilization/credit_utilization/0123456789abcdef.mp4",
        fallback_used="static",
        fallback_reason="not_configured",
        duration_seconds=15.0,
        bytes=412_000,
    )
    return replace(video, **changes)


def sample_item(**changes: Any) -> PlanItem:
    return PlanItem(sample_template(), "make", "new", video=None)._replace(**changes)


def sample_run(status: Any = "made", video: Video | None = None, error: str | None = None) -> Run:
    template = sample_template()
    outcome = Outcome(template.persona, template.topic, status, video, 4.2, error)
    return Run([sample_item()], [outcome], Path("/srv/videos"), 5.0)


def seen(run: Run) -> dict[str, dict[str, Any]]:
    """What the application sees after a run whose every film is the first outcome's."""
    video = run.outcomes[0].video
    return {
        item.template.key: {
            **film_fields(item.template, video, intact=True),
            "video": video_fields(video),
        }
        for item in run.items
    }


# Words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (412_000, "412 kB"), (999_700, "1.0 MB")],
)
def test_sizes_have_two_or_three_digits(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.21, "4.2 s"), (59.96, "1 min 0 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min")],
)
def test_spans_are_told_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400)]
)
def test_a_span_may_be_written_in_any_unit(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1w", "1h30"])
def test_what_is_no_span_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_span(text)
    assert "90s" in refused.value.hint


def test_an_age_counts_from_now() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert age("2026-11-21T12:00:00+00:00", now) == "2 d"
    assert age(None, now) == ""


def test_one_film_is_not_called_films() -> None:
    assert (counted(1, "film"), counted(2, "film")) == ("1 film", "2 films")


# Arguments


def test_global_options_work_on_both_sides_of_the_command() -> None:
    before = ["--state-dir", "s", "warm", "--all"]
    assert globals_first(["warm", "--state-dir", "s", "--all"]) == before
    assert globals_first(["warm", "--state-dir=s"]) == ["--state-dir=s", "warm"]
    assert globals_first(["warm", "--", "--state-dir"]) == ["warm", "--", "--state-dir"]


def test_a_film_may_be_named_as_vidgen_prints_it() -> None:
    wanted = selection("high_utilization/credit_utilization", None)
    assert (wanted.persona, wanted.topic) == ("high_utilization", "credit_utilization")


def test_no_selector_means_everything_but_is_not_explicit() -> None:
    wanted = selection(None, None)
    assert (wanted.persona, wanted.topic, wanted.explicit) == ("*", "*", False)


@pytest.mark.parametrize(
    "given", [("", None), ("p", ""), ("", "t"), ("/", None), ("/t", None), ("p/", None)]
)
def test_an_empty_selector_does_not_mean_everything(given: tuple[str, str | None]) -> None:
    with pytest.raises(UsageError, match="is empty") as refused:
        selection(*given)
    assert "'*'" in refused.value.hint


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_its_exit_codes_and_json(
    command: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example: " in text
    assert "Exit codes: 0" in text
    assert "--json" in text


def test_help_lists_every_command_in_order_with_its_first_sentence(
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0]
    lines = [line.split(maxsplit=1) for line in listed.splitlines()]
    assert tuple(name for name, _ in lines) == COMMANDS
    for name, sentence in lines:
        module = import_module(f"spritz_cli.cli.{name}")
        assert getattr(module, name).__doc__.startswith(sentence)
        assert sentence.endswith(".")
        assert not sentence.endswith("..")


def test_a_shell_is_offered_the_commands_that_fit() -> None:
    group = typer.main.get_command(app)
    offered = group.shell_complete(group.make_context("vidgen", ["status"]), "p")
    assert [item.value for item in offered] == ["plan", "preview"]


def test_a_misspelt_command_is_told_what_is_near(capsys: pytest.CaptureFixture) -> None:
    assert main(["stats"]) == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["help"], ["help", "help"], ["-h"]])
def test_help_is_had_in_every_usual_way(
    arguments: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 0
    assert "Commands:" in capsys.readouterr().out


def test_no_command_at_all_is_a_usage_error(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Commands:" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["warm"], "nothing is selected"),
        (["warm", "--all", "--sync", "--no-wait"], "contradict"),
        (["warm", "--bogus"], "no such option: --bogus"),
        (["warm", "--all", "--min-tier", "gold"], "'--min-tier': 'gold' is not one of 'sora'"),
        (["warm", "--all", "--workers", "0"], "--workers"),
        (["preview"], "missing argument 'PERSONA'"),
        (["nonsense"], "nonsense"),
        (["--log-level", "loud", "status"], "invalid --log-level loud"),
        (["--log-level", "loud", "status"], "hint: Use DEBUG, INFO, WARNING or ERROR."),
        (["warm", ""], "the persona is empty"),
        (["cleanup", "--quota-gb", "inf"], "--quota-gb inf"),
        (["cleanup", "--quota-gb", "nan"], "--quota-gb nan"),
        (["cleanup", "--quota-gb", "1e300"], "up to 1,000,000"),
        (["cleanup", "--quota-gb", "0"], "above 0"),
        (["cleanup", "--quota-gb=-1"], "above 0"),
        (["preview", "p/t", "--out", "x.jpg"], "such as x.png"),
        (["--catalog", "nowhere.yaml", "lint"], "nowhere.yaml"),
        (["status", "-q", "--verbose"], "--quiet and --verbose contradict each other"),
        (["help", "nonsense"], "nonsense"),
        (["completion"], "SHELL"),
        (["completion", "csh"], "csh"),
    ],
)
def test_a_wrong_call_exits_with_2_and_says_what_and_what_to_do(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert message in shown.err


def test_with_json_an_error_is_a_document_too(capsys: pytest.CaptureFixture) -> None:
    assert main(["warm", "--json"]) == 2
    answer = documents.read(capsys.readouterr().out)
    assert (answer["schema"], answer["command"]) == ("vidgen/error/1", "warm")
    assert answer["error"]["exit_code"] == 2
    assert answer["error"]["hint"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["nonsense", "--json"], None),
        (["--bogus", "plan", "--json"], "plan"),
        (["--catalog", "status", "plan", "--json"], "plan"),
        (["completion", "csh", "--json"], "completion"),
    ],
)
def test_an_error_document_names_the_command_that_was_meant(
    arguments: list[str], command: str | None, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 2
    assert documents.read(capsys.readouterr().out)["command"] == command


def test_the_problems_of_a_catalog_are_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates.yaml").write_text("version: 2\n")
    assert main(["lint", "--json"]) == 2
    problems = documents.read(capsys.readouterr().out)["error"]["problems"]
    assert problems[0]["file"] == "templates.yaml"


@pytest.mark.parametrize(
    "arguments", [["--version"], ["-V"], ["warm", "--version"], ["plan", "-V"]]
)
def test_the_version_is_printed(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("vidgen")


# Errors


def test_an_error_has_a_hint_line(capsys: pytest.CaptureFixture) -> None:
    console.error(RedisUnavailable("no server at redis://h:1", hint="Start it."))
    assert capsys.readouterr().err == "error: no server at redis://h:1\nhint: Start it.\n"


def test_a_bad_catalog_lists_every_problem_and_their_number(capsys: pytest.CaptureFixture) -> None:
    problems = [Problem("t.yaml", 3, "bad", "Mend it."), Problem("t.yaml", 9, "worse")]
    console.error(CatalogError(problems))
    assert capsys.readouterr().err.splitlines() == [
        "error: t.yaml:3: bad",
        "hint: Mend it.",
        "error: t.yaml:9: worse",
        "2 problems in all; nothing was done.",
    ]


def test_one_problem_is_not_called_problems(capsys: pytest.CaptureFixture) -> None:
    console.error(CatalogError([Problem("t.yaml", 3, "bad")]))
    assert capsys.readouterr().err.endswith("\n1 problem in all; nothing was done.\n")


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture) -> None:
    console.error(UsageError("no \x1b[31mred\x9b\r", hint="“\u202e” – nor é."))
    assert capsys.readouterr().err == ("error: no \\x1b[31mred\\x9b\\r\nhint: “\\u202e” – nor é.\n")


def test_a_fault_of_ours_is_one_line_and_a_log_file(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spritz_cli.catalog.loader.load_catalog", lambda *_: 1 / 0)
    assert main(["lint"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: internal: ZeroDivisionError: division by zero"
    (log,) = (tmp_path / ".vidgen").glob("error-*.log")
    assert hint.endswith(str(log))
    assert "Traceback" in log.read_text()


def test_debugging_shows_the_traceback_at_once(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spritz_cli.catalog.loader.load_catalog", lambda *_: 1 / 0)
    assert main(["--log-level", "debug", "lint"]) == 1
    assert "Traceback" in capsys.readouterr().err


# Tables


def test_a_piped_table_is_aligned_and_never_cut(capsys: pytest.CaptureFixture) -> None:
    columns = (Column("FILM"), Column("SIZE", right=True), Column("URL", optional=True))
    console.table(columns, [("a" * 90, Cell("1 kB", "red"), "u" * 90), ("b", "12 kB", "")])
    assert capsys.readouterr().out.splitlines() == [
        f"FILM{' ' * 86}   SIZE  URL",
        f"{'a' * 90}   1 kB  {'u' * 90}",
        f"b{' ' * 89}  12 kB",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(columns: int, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal of that width that both streams write to."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


@pytest.mark.parametrize(("width", "shown"), [(200, True), (50, False)])
def test_a_narrow_terminal_goes_without_optional_columns(
    width: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_of(width, monkeypatch)
    console.table((Column("FILM"), Column("URL", optional=True)), [("f" * 30, "u" * 60)])
    assert "f" * 30 in terminal.getvalue()
    assert ("u" * 60 in terminal.getvalue()) is shown


def test_a_table_that_never_fits_still_folds_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(40, monkeypatch)
    columns = (Column("FILM"), Column("RESULT"), Column("URL", optional=True))
    console.table(columns, [("f" * 60, "made", "u" * 60)])
    assert "RESULT" in terminal.getvalue()
    assert "u" not in terminal.getvalue()


@pytest.mark.parametrize(("width", "lines"), [(100, 2), (40, 3)])
def test_words_go_below_the_row_where_their_column_would_be_thin(
    width: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_of(width, monkeypatch)
    columns = (Column("CHECK"), Column("FOUND", below=True), Column("FIX", below=True))
    console.table(columns, [("redis", "no answer from the server", "Start the server.")])
    shown = [line.rstrip() for line in terminal.getvalue().splitlines()]
    assert len(shown) == lines
    if lines == 3:
        assert shown == ["redis", "  no answer from the server", "  Start the server."]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_may_decline_colour(
    variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*variable)
    assert not console.interactive(Terminal())


# Runs


def test_a_finished_film_is_one_line_outside_a_terminal(capsys: pytest.CaptureFixture) -> None:
    template = sample_template()
    outcome = Outcome(template.persona, template.topic, "made", sample_video(), 4.2)
    with PlainWatch(Tally({template.name: 15.0, "other/film": 20.0})) as view:
        view.handle(Event(template, "queued"))
        view.handle(Event(template, "progress", 0.5, "drawing"))
        view.handle(Event(template, "done", 1.0, outcome=outcome))
    assert capsys.readouterr().err == (
        "made high_utilization/credit_utilization static 15.0 s film in 4.2 s [1/2]\n"
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("failed", "FAILED p/t: no ink"),
        ("busy", "busy p/t"),
        ("unchanged", "kept p/t"),
        ("renewed", "renewed p/t: found on disk"),
        ("joined", "joined p/t: another run"),
    ],
)
def test_every_outcome_has_its_line(status: Any, words: str) -> None:
    outcome = Outcome("p", "t", status, error="no ink", reason="found on disk")
    assert result_line(outcome).startswith(words)


@pytest.mark.parametrize(
    ("room", "words"),
    [(40, "savings_builder/goal_setting"), (20, "saving…/goal_setting")],
)
def test_a_name_loses_the_persona_before_the_topic(room: int, words: str) -> None:
    assert shortened("savings_builder/goal_setting", room) == words
    assert shortened("savings_builder/goal_setting", 13) == "goal_setting"


def test_bars_on_a_narrow_terminal_tell_films_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(40, monkeypatch)
    template = replace(sample_template(), persona="savings_builder", topic="goal_setting")
    with LiveWatch(Tally({template.name: 15.0})) as view:
        view.handle(Event(template, "progress", 0.5, "drawing"))
    assert "goal_setting" in terminal.getvalue()
    assert "drawing" in terminal.getvalue()


def test_the_share_of_a_run_counts_seconds_of_film() -> None:
    tally = Tally({"p/long": 30.0, "p/short": 10.0})
    assert tally.seconds_left() is None
    tally.progress("p/long", 0.5)
    tally.finish(Outcome("p", "short", "made"))
    assert tally.share == pytest.approx(25 / 40)
    assert tally.done == 1
    assert tally.seconds_left() is not None


def test_a_run_ends_with_its_totals(capsys: pytest.CaptureFixture) -> None:
    report.show(sample_run(video=sample_video()), min_tier=None)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == (
        "1 film made, 0 unchanged, 0 failed: 15.0 s of film in 5.0 s (3.0 × real time), "
        "412 kB in /srv/videos"
    )
    assert shown.err == (
        "Tier 1 (generated footage) is not configured; the film is an animated infographic.\n"
    )


def test_the_totals_tell_what_was_renewed_and_why(capsys: pytest.CaptureFixture) -> None:
    items = [sample_item(action="renew", video=sample_video())] * 3
    outcomes = [
        Outcome("p", "one", "renewed", sample_video(), reason="found on disk"),
        Outcome("p", "two", "renewed", sample_video(), reason="expires soon"),
        Outcome("p", "three", "joined", sample_video()),
    ]
    run = Run(items, outcomes, Path("v"), 0.5)
    report.show(run, min_tier=None)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "0 films made, 2 renewed (expires soon, found on disk), "
        "1 made by another run, 0 unchanged, 0 failed, in 0.5 s."
    )
    report.show(run, min_tier=None, seen=seen(run))
    totals = documents.read(capsys.readouterr().out)["totals"]
    assert (totals["renewed"], totals["joined"], totals["unchanged"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("made", "items", "words"),
    [
        (1, 1, "the film is an animated infographic."),
        (1, 4, "1 film is an animated infographic."),
        (3, 4, "3 films are animated infographics."),
        (4, 4, "every film is an animated infographic."),
    ],
)
def test_the_tier_of_the_films_is_told_in_plain_words(
    made: int, items: int, words: str, capsys: pytest.CaptureFixture
) -> None:
    films = [replace(sample_template(), topic=f"t{number}") for number in range(items)]
    plan = [sample_item(template=film) for film in films]
    outcomes = [
        Outcome(film.persona, film.topic, "made", sample_video(topic=film.topic))
        for film in films[:made]
    ]
    report.show(Run(plan, outcomes, Path("v"), 1.0), min_tier=None)
    assert capsys.readouterr().err.endswith(f"{words}\n")


def test_nothing_to_do_is_said_in_one_line(capsys: pytest.CaptureFixture) -> None:
    items = [sample_item(action="keep", video=sample_video())] * 20
    report.show(Run(items, [], Path("v"), 0.1), min_tier=None)
    assert capsys.readouterr().out == "Nothing to do: all 20 films are up to date.\n"


def test_a_film_below_the_tier_asked_for_is_named(capsys: pytest.CaptureFixture) -> None:
    run = sample_run(video=sample_video())
    assert run.below("static") == []
    assert run.below("sora") == ["high_utilization/credit_utilization"]
    report.show(run, min_tier="sora")
    assert "1 film is below tier sora: high_utilization/" in capsys.readouterr().err


def test_a_film_that_failed_counts_as_text_and_says_why(capsys: pytest.CaptureFixture) -> None:
    run = sample_run("failed", error="no ink")
    assert run.below("static") == ["high_utilization/credit_utilization"]
    report.show(run, min_tier=None)
    shown = capsys.readouterr()
    assert "0 films made, 0 unchanged, 1 failed" in shown.out
    assert "failed high_utilization/credit_utilization: no ink" in shown.err


def test_a_run_as_a_document_has_every_film_and_the_totals(capsys: pytest.CaptureFixture) -> None:
    run = sample_run(video=sample_video())
    report.show(run, min_tier="sora", seen=seen(run))
    answer = documents.read(capsys.readouterr().out)
    (film,) = answer["films"]
    assert (film["result"], film["status"], film["tier"]) == ("made", "ready", "static")
    assert film["video"]["bytes"] == 412_000
    assert answer["totals"]["made"] == answer["totals"]["below_min_tier"] == 1
    assert answer["videos_dir"] == "/srv/videos"


# Doctor


def test_a_check_that_dies_does_not_take_the_others_along(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spritz_cli.cli import doctor

    def die(_: object) -> doctor.Check:
        raise StorageError("broken", hint="Mend it.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "CHECKS", {"first": die, "python": doctor.CHECKS["python"]})
    assert main(["doctor", "--json"]) == 3
    first, second = documents.read(capsys.readouterr().out)["checks"]
    assert first == {"name": "first", "status": "fail", "message": "broken", "hint": "Mend it."}
    assert second["status"] == "ok"


def test_a_full_disk_fails_and_a_nearly_full_one_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spritz_cli.cli import doctor

    for free, state in ((10**7, "FAIL"), (5 * 10**8, "warn"), (10**10, "ok")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        settings = SimpleNamespace(videos_dir=tmp_path / "not" / "there")
        assert doctor.CHECKS["videos directory"](settings).state == state  # type: ignore[arg-type]
