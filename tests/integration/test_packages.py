"""The two wheels in environments of their own: what each can do, and what it says it cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import spritz_cli
from spritz_cli.bootstrap import Services, open_services
from spritz_cli.catalog.loader import load_catalog
from spritz_cli.cli import main
from spritz_cli.runs.local_workers import LocalWorkers
from tests import documents, wheels
from tests.processes import ROOT
from tests.small import write_project

#: An application that reads and queues, and tells what came of it.
APPLICATION = """
import json, os, vidgen_reader
manifest = vidgen_reader.VideoManifest.from_url(os.environ["REDIS_URL"])
print(json.dumps({
    "before": (video := manifest.get("newcomer", "one")) and video.status,
    "job": vidgen_reader.enqueue_video_generation("newcomer", "one"),
    "top": vidgen_reader.enqueue_videos_for_recommendations(
        7, [{"persona": "newcomer", "topic": "one"}, {"persona": "newcomer", "topic": "none"}]
    ),
}))
"""

#: What a type checker is to say of this application stands in REVEALED and MISTAKES.
TYPED = """
from spritz_cli import (
    Nothing,
    RedisUnavailable,
    UnknownTemplate,
    VideoManifest,
    VidgenError,
    enqueue_video_generation,
    enqueue_videos_for_recommendations,
    get_template,
    run_cleanup,
)
from vidgen_reader import VideoManifest as Same

manifest = VideoManifest.from_url("redis://cache:6379/0")
video = manifest.get("newcomer", "one")
reveal_type(video)
reveal_type(video.duration_seconds if video else None)
reveal_type(Same.from_url("redis://cache:6379/0"))
reveal_type(get_template)
reveal_type(run_cleanup)
try:
    reveal_type(enqueue_video_generation("newcomer", "one"))
    reveal_type(enqueue_videos_for_recommendations(7, []))
except UnknownTemplate as error:
    reveal_type(error.hint)
except (RedisUnavailable, VidgenError):
    manifest.get("newcomer")
    enqueue_video_generation("newcomer", 1)
"""

REVEALED = [
    "spritz_cli.models.Video | None",
    "float | None",
    "spritz_cli.storage.manifest.VideoManifest",
    "def (persona: str, topic: str) -> spritz_cli.models.Template",
    "def (dry_run: bool =) -> dict[str, Any]",
    "str",
    "list[str]",
    "str",
]

MISTAKES = ["attr-defined", "call-arg", "arg-type"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("our wheels")
    wheels.build(folder)
    return folder


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """Return the bin folder of an environment for an application that reads and queues."""
    folder = tmp_path_factory.mktemp("application") / "venv"
    return wheels.environment(folder, built, "spritz-vidgen-reader[enqueue]")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    settings = write_project(tmp_path, {"one": 5})
    monkeypatch.chdir(tmp_path)
    with open_services(settings) as services:
        monkeypatch.setenv("REDIS_URL", services.redis.url)
        yield services


def run(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    command = [str(program), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def answers(reader: Path, folder: Path) -> dict[str, object]:
    done = run(reader / "python", "-c", APPLICATION, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_reader_alone_reads_the_manifest_and_queues_what_a_worker_makes(
    reader: Path, shared: Services, tmp_path: Path
) -> None:
    shared.manifest.announce(shared.catalog.templates)
    before = answers(reader, tmp_path / "application")
    workers = LocalWorkers(shared.settings, shared.redis.url, log=Path("worker.log"), burst=True)
    workers.start(1)
    workers.wait()
    after = answers(reader, tmp_path / "application")

    key = shared.catalog.get("newcomer", "one").key
    assert before == {"before": None, "job": f"{key}-app", "top": [f"{key}-app"]}
    assert after == {"before": "ready", "job": "cached", "top": ["cached"]}


def test_without_rq_the_hook_says_what_to_install(
    built: Path, shared: Services, tmp_path: Path
) -> None:
    bare = wheels.environment(tmp_path / "venv", built, "spritz-vidgen-reader")
    done = run(bare / "python", "-c", APPLICATION, folder=tmp_path)

    error = "MissingLibrary: this needs rq, which comes with spritz-vidgen-reader[enqueue]"
    assert done.stderr.splitlines()[-1] == f"spritz_cli.errors.{error}"
    code = "import vidgen_reader as v; v.enqueue_videos_for_recommendations(7, [{}])"
    assert run(bare / "python", "-c", code, folder=tmp_path).returncode == 0


def test_without_the_main_distribution_the_command_is_one_clear_error(
    reader: Path, tmp_path: Path
) -> None:
    done = run(reader / "python", "-m", "spritz_cli", "warm", "--all", folder=tmp_path)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "error: this needs typer, which comes with spritz-vidgen\n"
        "hint: Install spritz-vidgen, from the repository or wheels that this came from.\n"
    )


def test_a_command_that_lacks_a_library_says_where_it_comes_from(
    shared: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "spritz_cli.catalog.strict_yaml", raising=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    (shared.settings.state_dir / "empty").mkdir(parents=True)

    assert main(["lint", "--state-dir", str(shared.settings.state_dir / "empty")]) == 3
    assert "hint: Install spritz-vidgen, from" in capsys.readouterr().err


@pytest.mark.parametrize("call", ["get_template('newcomer', 'one')", "run_cleanup(dry_run=True)"])
def test_what_needs_the_main_distribution_names_it(
    reader: Path, shared: Services, call: str, tmp_path: Path
) -> None:
    code = f"""
import spritz_cli
try:
    spritz_cli.{call}
except spritz_cli.MissingLibrary as error:
    print(error.hint)
"""
    done = run(reader / "python", "-c", code, folder=tmp_path / "application")

    assert done.stdout.startswith("Install spritz-vidgen, from "), done.stderr


def test_an_application_sees_the_types_of_the_public_api(reader: Path, tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(TYPED)
    options = ["--strict", "--config-file=", "--cache-dir=cache", "--no-error-summary"]
    command = [
        sys.executable,
        "-m",
        "mypy",
        *options,
        "--python-executable",
        str(reader / "python"),
    ]
    done = subprocess.run(
        [*command, "application.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )

    assert re.findall(r'note: Revealed type is "(.+)"', done.stdout) == REVEALED, done.stdout
    assert re.findall(r"error: .+\[(.+)\]", done.stdout) == MISTAKES, done.stdout


def test_the_main_wheel_brings_the_command_and_its_catalog(built: Path, tmp_path: Path) -> None:
    program = wheels.environment(tmp_path / "venv", built, "spritz-vidgen") / "vidgen"
    version = run(program, "--version", folder=tmp_path / "empty")
    plan = run(program, "plan", "--json", folder=tmp_path / "empty")

    assert version.stdout == f"vidgen {spritz_cli.__version__}\n"
    films = load_catalog(ROOT / "templates.yaml").templates
    assert documents.read(plan.stdout)["totals"]["make"] == len(films)
