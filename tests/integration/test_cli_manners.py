"""What every command does alike: documents, silence, verbosity, exit codes, interrupts."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spritz_cli.cli.app import COMMANDS
from tests.commands import Answer, Project
from tests.processes import wait_until
from tests.small import write_project

NOWHERE = "redis://:secret@127.0.0.1:1/0"

#: A call of each command that succeeds where all films are made, and its exit code.
CALLS = {
    "warm": "warm --all --sync",
    "plan": "plan",
    "status": "status",
    "budget": "budget",
    "cleanup": "cleanup --dry-run",
    "lint": "lint --words",
    "preview": "preview newcomer first --out picture.png",
    "gallery": "gallery --no-lint",
    "doctor": "doctor",
    "worker": "worker --burst",
    "bench": "bench newcomer first --runs 1",
    "config": "config",
    "completion": "completion bash",
}

NEED_REDIS = ("warm", "plan", "status", "budget", "cleanup", "gallery", "worker")
SELECTING = ("warm", "plan", "status", "lint", "preview", "gallery", "bench")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose films are made; tests that share it leave its films as they are."""
    folder = tmp_path_factory.mktemp("made")
    write_project(folder, {"first": 5, "second": 5})
    project = Project(folder)
    answer = project.vidgen("warm", "--all", "--sync", "-q")
    assert (answer.code, answer.err) == (0, "")
    return project


@pytest.fixture
def edited(made: Project, tmp_path: Path) -> tuple[str, str]:
    """Flags that name a catalog in which a number of every film is another."""
    write_project(tmp_path, {"first": 5, "second": 5}, count=3)
    return "--catalog", str(tmp_path / "templates.yaml")


# Documents


def test_every_command_is_called_here() -> None:
    assert tuple(CALLS) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_with_its_own_document(command: str, made: Project) -> None:
    answer = made.vidgen(*CALLS[command].split(), "--json")
    assert answer.code == 0, answer.err
    assert answer.document["schema"] == f"vidgen/{command}/1"
    assert answer.document["command"] == command
    if command in SELECTING:
        assert answer.document["films"][0]["name"] == "newcomer/first"


def test_a_dry_run_answers_with_the_document_of_plan(made: Project) -> None:
    dry = made.vidgen("warm", "--all", "--dry-run", "--json")
    assert dry.document == made.vidgen("plan", "--json").document


def test_a_measurement_is_compared_with_an_earlier_document(made: Project) -> None:
    call = ("bench", "newcomer/first", "--runs", "1", "--json")
    (made.folder / "before.json").write_text(made.vidgen(*call).out)
    answer = made.vidgen(*call, "--compare", "before.json")
    assert answer.document["changes"][0].startswith("newcomer/first: ratio ")


@pytest.mark.parametrize("command", NEED_REDIS)
def test_a_failure_is_a_document(command: str, made: Project) -> None:
    answer = made.vidgen(*CALLS[command].split(), "--json", REDIS_URL=NOWHERE)
    assert answer.code == 3
    assert (answer.document["schema"], answer.document["command"]) == ("vidgen/error/1", command)
    assert answer.document["error"]["exit_code"] == 3
    assert answer.err.startswith(f"error: {answer.document['error']['message']}")
    assert "secret" not in answer.out + answer.err


@pytest.mark.parametrize("command", SELECTING)
def test_a_selection_of_nothing_is_a_document(command: str, made: Project) -> None:
    answer = made.vidgen(command, "nobody", "--json")
    assert answer.code == 2
    assert answer.document["command"] == command
    assert "no persona matches “nobody”" in answer.document["error"]["message"]


@pytest.fixture
def hanging() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("command", [*NEED_REDIS, "doctor"])
def test_an_interrupt_is_a_document(command: str, made: Project, hanging: socket.socket) -> None:
    url = f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"
    process = start(made, *CALLS[command].split(), "--json", REDIS_URL=url)
    connection, _ = hanging.accept()
    with connection:
        process.send_signal(signal.SIGINT)
        answer = finish(process)
    assert (answer.code, answer.err) == (130, "interrupted\n")
    assert answer.document["command"] == command
    assert answer.document["error"]["exit_code"] == 130


def test_an_interrupted_run_says_in_its_document_how_to_go_on(tmp_path: Path) -> None:
    write_project(tmp_path, {"slow": 60})
    project = Project(tmp_path)
    process = start(project, "warm", "--all", "--sync", "--json")
    wait_until(lambda: project.family.alive("ffmpeg"))
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130
    assert answer.document["error"]["message"] == answer.err.strip()
    assert answer.err.startswith("interrupted; 0 films are published")
    wait_until(lambda: not project.family.alive())


def test_what_is_only_on_disk_is_not_ready(made: Project, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("*.sock", ".vidgen")
    shutil.copytree(made.folder, tmp_path / "copy", ignore=ignored)
    answer = Project(tmp_path / "copy").vidgen("plan", "--json")
    for film in answer.document["films"]:
        assert (film["action"], film["reason"]) == ("renew", "found on disk")
        assert (film["status"], film["published"], film["video"]) == ("not_found", None, None)


# Exit codes


def test_a_plan_tells_by_its_exit_code_whether_there_is_work(
    made: Project, edited: tuple[str, str]
) -> None:
    assert made.vidgen("plan", "--exit-code").code == 0
    assert made.vidgen("plan", *edited).code == 0
    answer = made.vidgen("plan", "--exit-code", "--json", *edited)
    assert (answer.code, answer.document["totals"]["make"]) == (2, 2)


# Silence


def test_quiet_leaves_the_result_and_nothing_else(tmp_path: Path) -> None:
    write_project(tmp_path, {"one": 5})
    answer = Project(tmp_path).vidgen("-q", "warm", "--all", "--sync")
    assert (answer.code, answer.err) == (0, "")
    assert "newcomer/one  made" in answer.out


def test_quiet_shows_no_bars(tmp_path: Path) -> None:
    write_project(tmp_path, {"one": 5})
    with Project(tmp_path).terminal("warm", "--all", "--sync", "--quiet") as screen:
        text = screen.read()
        assert screen.exit_code() == 0
    assert "0/1 film" not in text
    assert "1 film made" in text


def test_quiet_still_says_what_failed(tmp_path: Path) -> None:
    write_project(tmp_path, {"one": 5})
    (tmp_path / "svg_templates" / "card.svg.j2").write_text("<svg>{{ nothing }}</svg>")
    answer = Project(tmp_path).vidgen("warm", "--all", "--sync", "--quiet")
    assert answer.code == 1
    assert answer.err.startswith("failed newcomer/one: ")
    assert len(answer.err.splitlines()) == 1


def test_quiet_errors_are_errors(made: Project) -> None:
    answer = made.vidgen("plan", "nobody", "-q")
    assert answer.code == 2
    assert answer.err.startswith("error: no persona matches")
    usage = made.vidgen("-q")
    assert (usage.code, "Commands:" in usage.err) == (2, True)


def test_verbose_says_what_is_skipped_on_the_way_to_the_settings(made: Project) -> None:
    below = Project(made.folder / "below")
    below.folder.mkdir(exist_ok=True)
    (below.folder / "pyproject.toml").write_text("vidgen = [\n")
    assert "not valid TOML" not in below.vidgen("lint", "--words").err
    for verbose in ("-v", "-vv", "--verbose"):
        assert "not valid TOML" in below.vidgen("lint", "--words", verbose).err


def test_the_log_level_governs_the_workers_too(made: Project) -> None:
    assert made.vidgen("worker", "--burst", "-q").err == ""
    assert "rq.worker" not in made.vidgen("worker", "--burst").err
    assert "rq.worker" in made.vidgen("worker", "--burst", "--verbose").err
    assert "rq.worker" in made.vidgen("worker", "--burst", VIDGEN_LOG="INFO").err


def test_a_command_works_alike_in_a_folder_below_the_project(made: Project, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    (tmp_path / "copy" / "pyproject.toml").write_text("[tool.vidgen]\n")
    below = Project(tmp_path / "copy" / "some" / "where")
    below.folder.mkdir(parents=True)
    assert below.vidgen("status", "-q").out.endswith("2 of 2 films ready.\n")


def test_a_command_in_a_folder_that_is_gone_is_one_error(made: Project) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && "$PYTHON" -P -m spritz_cli status --json'
    answer = made.shell(script)
    assert answer.code == 2
    assert answer.document["error"]["hint"].startswith("Change to a folder that exists")
    assert len(answer.err.splitlines()) == 2


# Help


@pytest.mark.parametrize(
    "arguments", [["--help"], ["help"], *(["help", name] for name in COMMANDS)]
)
def test_help_fits_80_columns_and_narrower_ones(arguments: list[str], made: Project) -> None:
    for columns in (80, 40):
        answer = made.vidgen(*arguments, COLUMNS=str(columns))
        assert answer.code == 0
        assert max(map(len, answer.out.splitlines())) <= columns


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_wants_and_does(command: str, made: Project) -> None:
    listed = made.vidgen("help", command).out
    assert not re.search(r"<[a-z]", listed)
    for line in listed.partition("Options:\n")[2].partition("\n\n")[0].splitlines():
        assert line.startswith("      ") or line.split("  ")[-1].strip(), line


# Words that the output's encoding lacks


def test_signs_that_the_encoding_lacks_have_a_stand_in(
    made: Project, edited: tuple[str, str]
) -> None:
    answer = made.vidgen("plan", *edited, PYTHONIOENCODING="ascii")
    assert "parameters.count: 2 -> 3" in answer.out
    assert '"nobody"' in made.vidgen("plan", "nobody", PYTHONIOENCODING="ascii").err


def test_without_any_environment_a_command_works(made: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spritz_cli", "status"],
        cwd=made.folder,
        env={"PYTHONPATH": made.environment()["PYTHONPATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def start(project: Project, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "spritz_cli", *arguments],
        cwd=project.folder,
        env=project.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=60)
    return Answer(process.returncode, out, err)
