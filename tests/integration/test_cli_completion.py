"""Completion as shells ask for it: the candidates, and the scripts in real shells."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spritz_cli.cli import main
from spritz_cli.cli.app import COMMANDS
from tests.processes import ROOT
from tests.small import write_project

SHELLS = ("bash", "zsh", "fish")

#: What an interactive shell needs before it can source the script.
PREPARED = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D; "}


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in whose state directory the catalog is cached, and a `vidgen` beside it."""
    folder = tmp_path_factory.mktemp("completion")
    write_project(folder, {"first": 5, "second": 5})
    (folder / ".vidgen").mkdir()
    program = folder / "bin" / "vidgen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spritz_cli "$@"\n')
    program.chmod(0o755)
    return folder


def environment(project: Path) -> dict[str, str]:
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm"}


def offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, folder: Path, *words: str
) -> list[str]:
    monkeypatch.chdir(folder)
    assert main(["__complete", *words]) == 0
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wa"], ["warm"]),
        (["help", "wa"], ["warm"]),
        (["help", "warm", ""], []),
        (["warm", ""], ["newcomer"]),
        (["warm", "newcomer", ""], ["first", "second"]),
        (["warm", "new*", "s"], ["second"]),
        (["warm", "newcomer/f"], ["newcomer/first"]),
        (["warm", "'newc"], ["newcomer"]),
        (["warm", "newcomer", "first", ""], []),
        (["warm", "--wor"], ["--workers"]),
        (["warm", "--log"], ["--log-level"]),
        (["warm", "--workers", "2", "newcomer", "f"], ["first"]),
        (["warm", "--workers=2", "newcomer", "f"], ["first"]),
        (["warm", "--sync", "newcomer", "f"], ["first"]),
        (["warm", "--min-tier", ""], ["sora", "static", "text"]),
        (["warm", "--min-tier", "="], ["sora", "static", "text"]),
        (["warm", "--min-tier", "=", "st"], ["static"]),
        (["warm", "--min-tier=st"], ["--min-tier=static"]),
        (["--log-level", "W"], ["WARNING"]),
        (["preview", "newcomer", "first", "--out", "x"], [":files"]),
        (["--catalog", ""], [":files"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["doctor", ""], []),
        (["nonsense", "--json", "x"], []),
    ],
)
def test_what_fits_is_offered(
    words: list[str],
    expected: list[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert offered(monkeypatch, capsys, project, *words) == expected


def test_every_command_is_offered(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert offered(monkeypatch, capsys, project, "") == [*COMMANDS, "help"]


def test_the_films_are_those_of_the_catalog_that_is_named(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ("warm", "--catalog", str(project / "templates.yaml"), "n")
    assert offered(monkeypatch, capsys, tmp_path, *words) == ["newcomer"]


def test_a_key_press_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_project(tmp_path, {"first": 5})
    assert offered(monkeypatch, capsys, tmp_path, "plan", "") == ["newcomer"]
    assert not (tmp_path / ".vidgen").exists()


def test_a_catalog_that_is_not_valid_offers_nothing_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates.yaml").write_text("version: 2\n")
    assert main(["__complete", "plan", ""]) == 2
    assert capsys.readouterr() == ("", "")


def test_films_of_a_cached_catalog_are_offered_without_the_yaml_library(project: Path) -> None:
    program = (
        "import sys; from spritz_cli.cli import main; main(['__complete', 'warm', '']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    for _ in range(2):
        asked = subprocess.run(
            [sys.executable, "-c", program],
            cwd=project,
            env=environment(project),
            capture_output=True,
            text=True,
        )
    assert asked.stdout == "newcomer\n"
    assert not {"yaml", "pydantic", "jinja2", "rich", "redis"} & {*asked.stderr.split()}


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS])
def test_the_script_is_valid(shell: str, project: Path) -> None:
    checked = subprocess.run(
        f"vidgen completion {shell} | {shell} -n /dev/stdin",
        shell=True,
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


class Typist:
    """Types into an interactive shell and reads what it shows."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._shown = ""

    def press(self, keys: str) -> None:
        os.write(self._handle, keys.encode())

    def wait_for(self, words: str) -> None:
        while words not in self._shown:
            shown = os.read(self._handle, 65536).decode(errors="replace")
            assert shown, f"{words!r} never appeared in {self._shown!r}"
            self._shown += shown
        self._shown = self._shown.partition(words)[2]


@contextmanager
def typing(shell: str, project: Path) -> Iterator[Typist]:
    flags = ["--norc", "--noprofile", "-i"] if shell == "bash" else ["-f", "-i"]
    pid, handle = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execvpe(shell, [shell, *flags], environment(project))
    try:
        yield Typist(handle)
    finally:
        os.close(handle)
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "shell", [pytest.param(shell, marks=needs(shell)) for shell in ("bash", "zsh")]
)
def test_a_tab_completes_commands_options_films_and_files(shell: str, project: Path) -> None:
    with typing(shell, project) as typist:
        typist.press(f"{PREPARED[shell]}source <(vidgen completion {shell}); echo rea''dy\r")
        typist.wait_for("ready")
        typist.press("vidgen wa\t")
        typist.wait_for("warm")
        typist.press("newcomer f\t")
        typist.wait_for("first")
        typist.press("--min-tier st\t")
        typist.wait_for("static")
        typist.press("--catalog templ\t")
        typist.wait_for("templates.yaml")
        typist.press("\x03")


@needs("fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vidgen wa", "warm\tMake every film that is missing or stale, and publish it."),
        ("vidgen warm newcomer f", "first\tFirst steps"),
        ("vidgen warm --min-tier st", "static"),
        ("vidgen warm --min-tier=st", "--min-tier=static"),
        ("vidgen --catalog templ", "templates.yaml"),
    ],
)
def test_fish_completes_commands_options_films_and_files(
    line: str, expected: str, project: Path
) -> None:
    asked = subprocess.run(
        ["fish", "--no-config", "-c", f"vidgen completion fish | source; complete -C '{line}'"],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
    )
    assert asked.stdout.splitlines() == [expected]
