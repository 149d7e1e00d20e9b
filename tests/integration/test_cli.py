"""The command line as its users meet it: processes, pipes, terminals, signals, exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from redis import Redis

from spritz_cli.settings import load_settings
from spritz_cli.storage.redis.connection import open_redis
from spritz_cli.storage.redis.server_binary import server_binary
from tests import documents
from tests.commands import Answer, Project
from tests.processes import wait_until
from tests.small import write_project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals and signals")

#: Modules that a quick answer must not wait for.
HEAVY = {"rich", "rq", "pydantic", "cairosvg", "cairocffi", "uharfbuzz", "PIL", "yaml", "jinja2"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "a project"
    write_project(folder, {"first": 5, "second": 5})
    return Project(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose films are made; tests that share it must leave it as it is."""
    folder = tmp_path_factory.mktemp("made")
    write_project(folder, {"first": 5, "second": 5})
    project = Project(folder)
    answer = project.vidgen("warm", "--all", "--sync", "--json")
    assert answer.code == 0, answer.err
    return project


@pytest.fixture
def copy(made: Project, tmp_path: Path) -> Project:
    """A project whose films are made, to do with as a test likes."""
    shutil.copytree(made.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    return Project(tmp_path / "copy")


# Making films


def test_warm_makes_every_film_and_a_second_warm_has_nothing_to_do(project: Project) -> None:
    first = project.vidgen("warm", "--all", "--sync")
    assert first.code == 0, first.err
    header, *rows, totals = first.out.splitlines()
    assert header.split()[:3] == ["FILM", "RESULT", "TIER"]
    assert [row.split()[:3] for row in rows] == [
        ["newcomer/first", "made", "static"],
        ["newcomer/second", "made", "static"],
    ]
    assert totals.startswith("2 films made, 0 unchanged, 0 failed: 10.0 s of film in ")
    assert "made newcomer/first static 5.0 s film in" in first.err
    assert "[2/2]" in first.err
    assert first.err.count("Tier 1 (generated footage) is not configured") == 1
    for row in rows:
        assert (project.folder / row.split()[-1].lstrip("/")).is_file()

    second = project.vidgen("warm", "--all", "--sync")
    assert second == Answer(0, "Nothing to do: all 2 films are up to date.\n", "")


def test_warm_without_sync_has_rq_workers_make_the_same_films(
    project: Project, made: Project
) -> None:
    answer = project.vidgen("warm", "--all", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["totals"]["made"] == 2
    urls = [film["video"]["url"] for film in answer.document["films"]]
    assert urls == [
        film["video"]["url"] for film in made.vidgen("status", "--json").document["films"]
    ]
    wait_until(lambda: not project.family.alive("spritz_cli"))


def test_a_selector_makes_only_what_it_names(project: Project) -> None:
    answer = project.vidgen("warm", "newcomer", "f*", "--sync", "--json")
    assert [film["name"] for film in answer.document["films"]] == ["newcomer/first"]
    status = project.vidgen("status", "--json")
    assert status.code == 1
    assert [film["status"] for film in status.document["films"]] == ["ready", "not_found"]


def test_a_film_below_the_tier_asked_for_makes_warm_exit_with_1(made: Project) -> None:
    answer = made.vidgen("warm", "--all", "--sync", "--min-tier", "sora")
    assert answer.code == 1
    assert "2 films are below tier sora: newcomer/first, newcomer/second." in answer.err
    assert made.vidgen("warm", "--all", "--sync", "--min-tier", "static").code == 0


def test_a_film_that_cannot_be_drawn_fails_and_the_others_are_made(project: Project) -> None:
    catalog = project.folder / "templates.yaml"
    broken = "    topic: second\n    fallback_static: broken.svg.j2\n"
    catalog.write_text(catalog.read_text().replace("    topic: second\n", broken))
    (project.folder / "svg_templates" / "broken.svg.j2").write_text("<svg>{{ nothing }}</svg>")
    answer = project.vidgen("warm", "--all", "--sync", "--json")
    assert answer.code == 1
    assert [film["result"] for film in answer.document["films"]] == ["made", "failed"]
    assert [film["status"] for film in answer.document["films"]] == ["ready", "failed"]
    assert "failed newcomer/second: " in answer.err
    (film,) = project.vidgen("status", "newcomer/second", "--json").document["films"]
    assert (film["status"], film["video"]["fallback_used"]) == ("failed", "text")
    assert film["video"]["text_headline"] == "First steps"


def test_queued_films_are_made_by_a_burst_worker(project: Project) -> None:
    settings = load_settings(environ={}, cwd=project.folder)
    with open_redis(settings) as redis:
        shared = {"REDIS_URL": redis.url}
        queued = project.vidgen("warm", "--all", "--no-wait", "--json", **shared)
        assert queued.code == 0, queued.err
        films = queued.document["films"]
        assert [(film["result"], film["status"]) for film in films] == [("queued", "not_found")] * 2
        assert all(film["job_id"] for film in films)
        assert queued.document["totals"]["queued"] == 2
        assert project.vidgen("status", **shared).code == 1
        worked = project.vidgen("worker", "-n", "2", "--burst", **shared)
        assert worked.code == 0, worked.err
        assert project.vidgen("status", **shared).code == 0


def test_leaving_the_jobs_to_others_needs_a_shared_server(project: Project) -> None:
    answer = project.vidgen("warm", "--all", "--no-wait")
    assert answer.code == 2
    assert "hint: " in answer.err


def test_films_found_on_disk_are_renewed_and_the_totals_say_so(copy: Project) -> None:
    shutil.rmtree(copy.folder / ".vidgen")
    answer = copy.vidgen("warm", "--all", "--sync")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1].startswith(
        "0 films made, 2 renewed (found on disk), 0 unchanged, 0 failed"
    )
    assert "renewed newcomer/first: found on disk" in answer.err


@pytest.mark.parametrize("mode", [["--sync"], []], ids=["sync", "queued"])
def test_a_restart_of_redis_does_not_end_a_run(tmp_path: Path, mode: list[str]) -> None:
    write_project(tmp_path, {"one": 20, "two": 5})
    project = Project(tmp_path)
    with serving(tmp_path / "s") as (url, restart):
        run = subprocess.Popen(
            [sys.executable, "-m", "spritz_cli", "warm", "--all", "--json", *mode],
            cwd=tmp_path,
            env=project.environment(REDIS_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: project.family.alive("ffmpeg"))
        restart(1.5)
        out, errors = run.communicate(timeout=90)
    assert run.returncode == 0, errors
    # A job that had to be done again may find its film made: then it is not made twice.
    totals = documents.read(out)["totals"]
    assert (totals["made"] + totals["joined"], totals["failed"]) == (2, 0)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Callable[[float], None]]]:
    """A server that keeps its data, and a function that restarts it after a pause."""
    folder.mkdir()
    program, _ = server_binary()
    place = ("--port", "0", "--unixsocket", f"{folder}/r.sock", "--dir", str(folder))
    command = [str(program), *place, "--appendonly", "yes", "--save", ""]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL)]

    def restart(pause: float) -> None:
        running[0].terminate()
        running[0].wait(10)
        time.sleep(pause)
        running[0] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    wait_until((folder / "r.sock").exists)
    try:
        yield f"unix://{folder}/r.sock", restart
    finally:
        running[0].terminate()
        running[0].wait(10)


# Looking


def test_plan_says_what_changed(made: Project, tmp_path: Path) -> None:
    write_project(tmp_path, {"first": 5, "second": 5}, count=3)
    arguments = ("--catalog", str(tmp_path / "templates.yaml"))
    answer = made.vidgen("plan", "newcomer/first", *arguments, "--json")
    assert answer.code == 0, answer.err
    (item,) = answer.document["films"]
    assert (item["action"], item["reason"]) == ("make", "inputs changed")
    assert item["status"] == "ready"
    assert any("parameters.count: 2 → 3" in line for line in item["differences"])
    shown = made.vidgen("warm", "--all", "--dry-run", *arguments)
    assert shown.out.splitlines()[-1] == ("Plan: 2 to make, 0 to renew, 0 up to date. Costs $0.00.")
    assert made.vidgen("status").code == 0


def test_status_has_every_field_of_the_manifest(made: Project) -> None:
    from dataclasses import fields

    from spritz_cli.models import Video

    answer = made.vidgen("status", "--json")
    assert answer.code == 0
    on_the_film = {"schema", "persona", "topic", "status"}
    for film in answer.document["films"]:
        assert {field.name for field in fields(Video)} == set(film["video"]) | on_the_film
        assert (film["published"], film["lease"]) == ("ready", None)


def test_status_of_one_film_is_shown_in_full(made: Project) -> None:
    answer = made.vidgen("status", "newcomer", "first")
    assert answer.out.startswith("newcomer/first\n")
    for words in ("state ", "sha256 ", "captions_url ", "text_action "):
        assert words in answer.out


def test_status_notices_a_film_that_was_deleted(copy: Project) -> None:
    (film,) = (copy.folder / "videos" / "newcomer" / "first").glob("*.mp4")
    film.unlink()
    answer = copy.vidgen("status", "newcomer", "first")
    assert answer.code == 1
    assert "files missing" in answer.out
    for command, code in (("status", 1), ("plan", 0), ("gallery", 0)):
        answer = copy.vidgen(command, "newcomer/first", "--json")
        (entry,) = answer.document["films"]
        seen = answer.code, entry["status"], entry["published"]
        assert seen == (code, "files_missing", "ready"), command


def test_quick_answers_load_nothing_heavy(made: Project) -> None:
    script = (
        "import sys; from spritz_cli.cli import main; main({}); "
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    for arguments in (["--help"], ["status"], ["plan"], ["warm", "--all"]):
        loaded = subprocess.run(
            [sys.executable, "-c", script.format(arguments)],
            cwd=made.folder,
            env=made.environment(),
            capture_output=True,
            text=True,
        ).stderr.split()
        if arguments == ["--help"]:
            assert not (HEAVY | {"redis"}) & set(loaded)
        else:
            assert not (HEAVY | {"spritz_cli.cli.gallery"}) & set(loaded)


def test_preview_writes_a_frame_and_a_contact_sheet(made: Project, tmp_path: Path) -> None:
    frame, sheet = tmp_path / "frame.png", tmp_path / "sheet.png"
    answer = made.vidgen("preview", "newcomer", "first", "--at", "2.5", "--out", str(frame))
    assert answer == Answer(0, f"{frame}\n", "")
    with Image.open(frame) as image:
        assert image.size == (1280, 720)
    answer = made.vidgen("preview", "newcomer/first", "--sheet", "--out", str(sheet), "--json")
    assert answer.document["path"] == str(sheet)
    with Image.open(sheet) as image:
        assert image.width > 1280


def test_preview_refuses_what_it_cannot_show(made: Project) -> None:
    for arguments in (["newcomer"], ["newcomer", "first", "--at", "9"], ["nobody", "first"]):
        answer = made.vidgen("preview", *arguments)
        assert answer.code == 2, arguments
        assert "hint: " in answer.err


def test_cleanup_plans_first_and_then_deletes(copy: Project) -> None:
    stray = copy.folder / "videos" / "newcomer" / "first" / f"{'0' * 16}.mp4"
    stray.write_bytes(b"left behind")
    planned = copy.vidgen("cleanup", "--dry-run", "--grace", "0", "--json").document
    assert [item["path"] for item in planned["deletions"]] == [str(stray)]
    assert (planned["orphaned_deleted"], planned["bytes_freed"]) == (1, 0)
    assert stray.exists()
    assert "1 file would be deleted" in copy.vidgen("cleanup", "--dry-run", "--grace", "0").out
    assert copy.vidgen("cleanup", "--dry-run").out.startswith("0 files would be deleted")
    done = copy.vidgen("cleanup", "--grace", "0")
    assert done.code == 0, done.err
    assert not stray.exists()
    assert copy.vidgen("status", "newcomer", "first").code == 0


# Infrastructure


def test_doctor_finds_nothing_wrong_here(project: Project) -> None:
    answer = project.vidgen("doctor", "--json")
    assert answer.code == 0, answer.out
    assert {check["status"] for check in answer.document["checks"]} == {"ok"}


def test_doctor_fails_with_the_fix_when_redis_is_away(project: Project) -> None:
    answer = project.vidgen("doctor", "--json", REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert answer.code == 3
    states = {check["name"]: check for check in answer.document["checks"]}
    assert states["redis"]["status"] == "fail"
    assert states["redis"]["hint"]
    assert states["catalog"]["status"] == "ok"
    assert "secret" not in answer.out + answer.err


def test_doctor_fails_on_a_server_that_takes_no_more_entries(
    project: Project, real_redis: Redis, real_redis_url: str
) -> None:
    real_redis.config_set("maxmemory", "1")
    try:
        answer = project.vidgen("doctor", "--json", REDIS_URL=real_redis_url)
    finally:
        real_redis.config_set("maxmemory", "0")
    assert answer.code == 3
    (check,) = (check for check in answer.document["checks"] if check["name"] == "redis")
    assert check["status"] == "fail"
    assert "maxmemory" in check["message"] + check["hint"]


def test_doctor_fails_on_a_replica(
    project: Project, real_redis: Redis, real_redis_url: str
) -> None:
    real_redis.replicaof("127.0.0.1", "1")
    try:
        answer = project.vidgen("doctor", REDIS_URL=real_redis_url)
    finally:
        real_redis.replicaof("no", "one")
    assert answer.code == 3
    assert "replica" in answer.out


@pytest.mark.parametrize("command", [["status"], ["warm", "--all"], ["warm", "--all", "--sync"]])
def test_an_unreachable_redis_is_an_error_and_never_replaced(
    project: Project, command: list[str]
) -> None:
    answer = project.vidgen(*command, REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert answer.code == 3
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert "hint: " in answer.err
    assert "secret" not in answer.err


# Pipes and terminals


def test_a_reader_that_leaves_early_is_no_error(made: Project) -> None:
    answer = made.shell('"$PYTHON" -m spritz_cli status | head -1')
    assert answer.code in (0, 141)
    assert answer.out.startswith("FILM")
    assert answer.err == ""
    closed = made.shell('"$PYTHON" -m spritz_cli status >&-')
    assert "Traceback" not in closed.err


def test_a_full_disk_behind_stdout_is_an_infrastructure_error(made: Project) -> None:
    answer = made.shell('"$PYTHON" -m spritz_cli status >/dev/full')
    assert answer.code == 3
    assert answer.err.startswith("error: the output cannot be written: No space left")


def test_an_ascii_locale_breaks_neither_words_nor_json(made: Project) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert made.vidgen("plan", **ascii_only).code == 0
    assert made.vidgen("lint", "nobody", **ascii_only).code == 2
    assert made.vidgen("plan", "--json", **ascii_only).document["films"]


def test_a_terminal_shows_bars_and_colour(project: Project) -> None:
    with project.terminal("warm", "newcomer", "first", "--sync", "--workers", "1") as screen:
        text = screen.read()
        assert screen.exit_code() == 0
    assert "0/1 film" in text
    assert "━" in text
    assert "\x1b[" in text
    assert "1 film made" in text


def test_no_color_shows_neither(project: Project) -> None:
    with project.terminal("warm", "newcomer", "first", "--sync", NO_COLOR="1") as screen:
        text = screen.read()
        assert screen.exit_code() == 0
    assert "\x1b[" not in text
    assert "made newcomer/first static" in text


def test_a_narrow_terminal_still_shows_film_and_status(made: Project) -> None:
    with made.terminal("status", columns=40) as screen:
        text = screen.read()
    assert "newcomer/first" in text
    assert "ready" in text
    assert "…" not in text


# Interruption


@pytest.mark.parametrize("mode", [["--sync"], []], ids=["sync", "queued"])
def test_ctrl_c_leaves_no_process_and_says_how_to_go_on(tmp_path: Path, mode: list[str]) -> None:
    write_project(tmp_path, {"slow": 60, "slower": 60})
    project = Project(tmp_path)
    with project.terminal("warm", "--all", *mode) as screen:
        screen.wait_for("drawing")
        os.write(screen.handle, b"\x03")
        text = screen.read()
        assert screen.exit_code() == 130
    assert "interrupted; 0 films are published, run the same command to go on" in text
    assert "Traceback" not in text
    wait_until(lambda: not project.family.alive())
    assert not list((tmp_path / "videos").rglob("film.*"))


@pytest.mark.parametrize("statement", ["{}", "exec({!r})"])
def test_ctrl_c_while_the_command_line_is_imported_is_no_news(
    tmp_path: Path, statement: str
) -> None:
    # The folder of `python -m` comes first: this is what is imported.
    interrupt = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "typer.py").write_text(statement.format(interrupt))

    answer = Project(tmp_path).vidgen("warm", "--all", "--sync")

    assert (answer.code, answer.out, answer.err) == (130, "", "")


def test_an_interrupted_run_counts_what_is_published_whoever_made_it(copy: Project) -> None:
    with copy.terminal("warm", "--all", "--sync", "--force") as screen:
        screen.wait_for("drawing")
        os.write(screen.handle, b"\x03")
        text = screen.read()
        assert screen.exit_code() == 130
    assert "interrupted; 2 films are published, run the same command to go on" in text


def test_a_polite_kill_cleans_up_like_ctrl_c(tmp_path: Path) -> None:
    write_project(tmp_path, {"slow": 60})
    project = Project(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "spritz_cli", "warm", "--all", "--sync"],
        cwd=tmp_path,
        env=project.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: project.family.alive("ffmpeg"))
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; 0 films are published" in errors
    wait_until(lambda: not project.family.alive())


@contextmanager
def worker(project: Project, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "spritz_cli", "worker", *arguments],
        cwd=project.folder,
        env=project.environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_says_that_it_is_alive_as_long_as_redis_knows_it(project: Project) -> None:
    health = project.folder / "run" / "health"
    with worker(project, "-n", "2", "--health-file", str(health)) as process:
        wait_until(health.exists)
        before = health.stat().st_mtime_ns
        wait_until(lambda: health.stat().st_mtime_ns > before)
        one = min(project.family.alive("spritz_cli.runs.worker"))
        os.kill(one, signal.SIGSTOP)
        with open_redis(load_settings({}, project.folder)) as redis:
            for key in redis.client.scan_iter(f"rq:worker:*:{one}:*"):
                redis.client.delete(key)
        time.sleep(0.5)
        before = health.stat().st_mtime_ns
        time.sleep(2.5)
        assert health.stat().st_mtime_ns == before
        os.kill(one, signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not health.exists()
    wait_until(lambda: not project.family.alive())


def test_a_worker_that_is_told_twice_puts_its_film_back_and_leaves_nothing(tmp_path: Path) -> None:
    settings = write_project(tmp_path, {"long": 60})
    project = Project(tmp_path)
    with open_redis(settings) as redis:
        shared = {"REDIS_URL": redis.url}
        queued = project.vidgen("warm", "--all", "--no-wait", "--json", **shared)
        (job,) = queued.document["films"]
        with worker(project) as process:
            wait_until(lambda: project.family.alive("ffmpeg"))
            process.terminate()
            time.sleep(1.2)
            assert project.family.alive("ffmpeg")
            process.terminate()
            assert process.wait(10) == 130
        assert redis.client.lrange("rq:queue:video_generation", 0, -1) == [job["job_id"]]
        assert not list(redis.client.scan_iter("video:lease:*"))
        (film,) = project.vidgen("status", "--json", **shared).document["films"]
        assert film["status"] == "not_found"
    wait_until(lambda: not project.family.alive())
    assert not list((tmp_path / "videos").rglob("film.*"))
    assert not list((tmp_path / "videos" / ".staging").glob("*/"))


# Terminals that close


@pytest.fixture
def hangup(request: pytest.FixtureRequest) -> Iterator[None]:
    """What processes that start now do when their terminal closes, until they decide."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(
    ("hangup", "mode", "told"),
    [
        (signal.SIG_DFL, ["--sync"], "unchanged"),
        (signal.SIG_DFL, [], "joined"),
        (signal.SIG_IGN, ["--sync"], "unchanged"),
    ],
    ids=["sync", "queued", "nohup"],
    indirect=["hangup"],
)
def test_a_run_whose_terminal_is_closed_goes_on_and_the_next_run_waits_for_its_films(
    tmp_path: Path, mode: list[str], told: str
) -> None:
    # Long enough for the next run to begin while it is drawn.
    write_project(tmp_path, {"one": 30})
    project = Project(tmp_path)
    with project.terminal("warm", "--all", "--workers", "1", *mode) as screen:
        screen.wait_for("drawing")
        screen.close()
        other = project.vidgen("warm", "--all", "--json", *mode)
        assert screen.exit_code() == 0
    assert other.code == 0, other.err
    (film,) = other.document["films"]
    assert film["result"] == told
    assert project.vidgen("status").code == 0
    wait_until(lambda: not project.family.alive())


# Watching


def test_watching_goes_on_while_redis_is_away(tmp_path: Path) -> None:
    write_project(tmp_path, {"one": 5})
    project = Project(tmp_path)
    with serving(tmp_path / "s") as (url, restart):
        watching = subprocess.Popen(
            [sys.executable, "-m", "spritz_cli", "status", "--watch", "--every", "0.2", "--json"],
            cwd=tmp_path,
            env=project.environment(REDIS_URL=url),
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = map(documents.read, watching.stdout)
        assert next(lines)["films"][0]["status"] == "not_found"
        restart(0.5)
        error = next(line["error"] for line in lines if "error" in line)
        assert "Redis" in error["message"]
        assert next(line for line in lines if "films" in line)["totals"]["films"] == 1
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0
        watching.stdout.close()


def test_a_terminal_is_redrawn_until_ctrl_c(made: Project) -> None:
    with made.terminal("status", "--watch", "--every", "0.2") as screen:
        for _ in range(2):
            screen.text = ""
            screen.wait_for("2 of 2 films ready.")
        os.write(screen.handle, b"\x03")
        screen.read()
        assert screen.exit_code() == 0
    assert "newcomer/first" in screen.text


def test_watching_needs_a_terminal_or_json(made: Project) -> None:
    answer = made.vidgen("status", "--watch")
    assert answer.code == 2
    assert "--json" in answer.err
    assert made.vidgen("status", "--every", "2").code == 2
