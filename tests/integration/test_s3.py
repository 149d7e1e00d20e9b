"""Films in a bucket: real runs, shared hosts, kills, and the commands that read it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.bootstrap import Services, open_services
from spritz_cli.cli.app import run
from spritz_cli.films.planning import Judge, PlanItem, plan
from spritz_cli.models import Template
from spritz_cli.settings import load_settings
from spritz_cli.testing import sample_film
from tests import documents, s3
from tests.processes import ROOT, Family, wait_until
from tests.small import write_project

RUN = ROOT / "tests" / "warm_run.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

# Publishes films until it is killed, some of them repeatedly.
WRITER = """
import random, sys
from pathlib import Path
from spritz_cli.models import ObjectPath
from spritz_cli.storage.files.bucket import BucketFiles
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import sample_film, sample_template
store = VideoStore(BucketFiles(ObjectPath("films", sys.argv[1]), Path(sys.argv[2])))

list(store.videos())
print("ready", flush=True)
while True:
    with store.staging() as scratch:
        number = random.randrange(1000)
        film = sample_film(scratch, f"{number % 20} " + "x" * 300_000)
        film.captions.write_text(f"WEBVTT {number}")
        store.publish(film, sample_template(topic=f"{sys.argv[3]}{number % 5}"), tier="static",
                      fingerprint="f", inputs={}, created_at=str(number))
"""


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> s3.Server:
    server: s3.Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def prefix(server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix of the bucket, set up in the environment."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VIDGEN_VIDEOS_DIR", f"s3://{s3.BUCKET}/{tmp_path.name}")
    monkeypatch.setenv("VIDGEN_URL_PREFIX", "https://cdn.example/v")
    return tmp_path.name


@pytest.fixture
def shared_redis(real_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDIS_URL", real_redis_url)
    return real_redis_url


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    kill(family)


def kill(family: Family) -> None:
    for pid in family.alive():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def opened(folder: Path) -> Services:
    return open_services(load_settings(dict(os.environ), folder))


def outcomes(process: subprocess.Popen[str]) -> dict[str, str]:
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    return {name: status for name, (status, _) in json.loads(output).items()}


def keys(server: s3.Server, prefix: str) -> list[str]:
    with closing(s3.client(server)) as client:
        listing = client.list_objects_v2(Bucket=s3.BUCKET, Prefix=f"{prefix}/")
    return [item["Key"].removeprefix(f"{prefix}/") for item in listing.get("Contents", ())]


@pytest.mark.slow
@pytest.mark.usefixtures("shared_redis", "prefix")
def test_two_hosts_with_one_redis_and_one_bucket_make_each_film_once(
    tmp_path: Path, family: Family
) -> None:
    hosts = [tmp_path / "host one", tmp_path / "host two"]
    for host in hosts:
        write_project(host, {"one": 5, "two": 5})
    runs = [family.start(RUN, "jobs", host, "1") for host in hosts]
    results = [outcomes(process) for process in runs]
    for film in ("newcomer/one", "newcomer/two"):
        statuses = [result[film] for result in results]
        assert statuses.count("made") == 1, results
        assert {"unchanged", "joined"} & set(statuses), results
    for host in hosts:
        with opened(host) as other:
            videos = list(other.manifest.entries())
            assert len(videos) == 2
            assert other.store.all_intact(videos) == [True, True]
            assert all(other.store.verify(video) for video in videos)
            assert other.store.abandoned() == []
            assert videos[0].url == f"https://cdn.example/v/{videos[0].name}/{videos[0].hash}.mp4"
    assert set(outcomes(family.start(RUN, "sync", hosts[1])).values()) == {"unchanged"}
    wait_until(lambda: not family.alive(), 10)


@pytest.mark.slow
@pytest.mark.usefixtures("shared_redis")
def test_a_run_killed_in_the_middle_of_an_upload_publishes_nothing_by_half(
    tmp_path: Path,
    family: Family,
    server: s3.Server,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_project(tmp_path, {"one": 5, "two": 5})
    with s3.stalling(server, b".vtt") as (address, stuck):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        process = family.start(RUN, "jobs", tmp_path, "2")
        wait_until(lambda: stuck.value == 2, 60)
        kill(family)
        process.communicate()
    left = keys(server, prefix)
    assert [name for name in left if name.endswith(".mp4")]
    assert not [name for name in left if name.endswith(".json")]
    with opened(tmp_path) as between:
        assert not [entry for entry in between.manifest.entries() if entry.status == "ready"]
        assert [film.published for film in between.store.videos()] == [False] * 2

    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    assert set(outcomes(family.start(RUN, "jobs", tmp_path)).values()) <= {"made", "joined"}
    with opened(tmp_path) as after:
        videos = list(after.manifest.entries())
        assert len(videos) == 2
        assert all(after.store.verify(video) for video in videos)
    assert len(keys(server, prefix)) == 8


def test_writers_killed_at_any_instant_leave_no_half_published_film(
    tmp_path: Path, prefix: str
) -> None:
    with opened(tmp_path) as services:
        store = services.store
        # Leases keep two hosts from publishing the same template at the same time.
        for _ in range(3):
            writers = [writer(prefix, tmp_path, mark) for mark in "ab"]
            time.sleep(random.uniform(0.0, 0.3))
            for process in writers:
                process.kill()
                process.communicate()
        published = [film for film in store.videos() if film.published]
        assert published
        for film in published:
            sidecar = json.loads(services.files.read(name_of(film)).data)
            assert sidecar["hash"] == film.hash
            for suffix, record in sidecar["files"].items():
                name = name_of(film).replace("json", suffix)
                assert services.files.measure(name) == record


def name_of(film: Any) -> str:
    return f"{film.persona}/{film.topic}/{film.hash}.json"


def writer(prefix: str, folder: Path, mark: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, prefix, str(folder / mark), mark]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@pytest.mark.usefixtures("shared_redis")
def test_the_commands_work_on_a_bucket(
    tmp_path: Path,
    server: s3.Server,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer(*arguments: str, code: int = 0) -> Any:
        assert run([*arguments, "--json"]) == code
        return documents.read(capsys.readouterr().out)

    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {"one": 5})
    answer("warm", "--all", "--sync", "--workers", "1")
    assert [film["status"] for film in answer("status")["films"]] == ["ready"]
    assert answer("plan")["films"][0]["action"] == "keep"

    answer("gallery", "--no-lint", "--out", str(tmp_path / "page.html"))
    assert "data:video/mp4" in (tmp_path / "page.html").read_text()

    write_project(tmp_path, {"one": 6})
    answer("warm", "--all", "--sync", "--workers", "1")
    assert len(keys(server, prefix)) == 8
    planned = answer("cleanup", "--dry-run", "--grace", "0s")["deletions"]
    assert len(planned) == 4
    assert all(item["path"].startswith(f"s3://films/{prefix}/newcomer/one/") for item in planned)
    assert len(keys(server, prefix)) == 8
    assert answer("cleanup", "--grace", "0s")["orphaned_deleted"] == 1
    assert len(keys(server, prefix)) == 4
    assert answer("status")["totals"]["ready"] == 1

    for name in keys(server, prefix):
        with closing(s3.client(server)) as client:
            head = client.head_object(Bucket=s3.BUCKET, Key=f"{prefix}/{name}")
        kind = {"mp4": "video/mp4", "webp": "image/webp", "vtt": "text/vtt"}
        suffix = name.rpartition(".")[2]
        assert head["ContentType"].startswith(kind.get(suffix, "application/json"))
        if server.kind == "moto":
            immutable = "immutable" in head["CacheControl"]
            assert immutable == (suffix != "json")
    assert not (tmp_path / "videos").exists()


@pytest.mark.usefixtures("shared_redis", "prefix")
@pytest.mark.parametrize("films", [1, 20])
def test_to_plan_and_to_report_asks_each_sidecar_and_lists_once(
    films: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {f"t{number}": 5 for number in range(films)})
    with opened(tmp_path) as services:
        for template in services.catalog.templates:
            publish(services, template)
        requests = Counted(services)

        assert {item.action for item in planned(services)} == {"keep"}
        # One folder of films and one of footage.
        assert requests.take() == {"ListObjectsV2": 2, "GetObject": films}

        videos = list(services.manifest.entries())
        assert services.store.all_intact(videos) == [True] * films
        assert requests.take() == {"ListObjectsV2": 2, "GetObject": films}

        services.redis.client.delete(*services.redis.client.keys("*"))
        reasons = {item.reason for item in planned(services)}
        assert reasons == {"found on disk"}
        assert requests.take() == {"ListObjectsV2": 2, "GetObject": films}


def publish(services: Services, template: Template) -> None:
    judge = Judge(services.studio, template)
    with services.leases.acquire(template.key) as lease, services.store.staging() as scratch:
        video = services.store.publish(
            sample_film(scratch, template.topic),
            template,
            tier="static",
            fingerprint=judge.fingerprints["static"],
            inputs=judge.inputs["static"],
            created_at="2026-11-23T09:00:00+00:00",
        )
        services.manifest.publish(video, lease)


def planned(services: Services) -> Sequence[PlanItem]:
    return plan(services.studio, services.catalog.templates)


class Counted:
    """Counts the requests to a bucket."""

    def __init__(self, services: Services) -> None:
        self._asked: list[str] = []
        from spritz_cli.storage.files.bucket import BucketFiles

        assert isinstance(services.files, BucketFiles)
        events = services.files._client.meta.events
        events.register("before-send.s3", lambda event_name, **_: self._note(event_name))

    def _note(self, event: str) -> None:
        self._asked.append(event.rpartition(".")[2])

    def take(self) -> Counter[str]:
        taken, self._asked = Counter(self._asked), []
        return taken


def test_doctor_tries_the_bucket(
    server: s3.Server, prefix: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)

    def check() -> dict[str, str]:
        run(["doctor", "--json"])
        checks = documents.read(capsys.readouterr().out)["checks"]
        return next(item for item in checks if item["name"] == "videos directory")

    result = check()
    assert result["status"] == ("ok" if server.kind == "moto" else "warn")
    assert server.url.removeprefix("http://") in result["message"]
    assert keys(server, prefix) == []

    monkeypatch.setenv("VIDGEN_VIDEOS_DIR", "s3://nowhere/films")
    assert check()["message"] == "there is no bucket 'nowhere'"
    if server.kind == "rclone":
        monkeypatch.setenv("VIDGEN_VIDEOS_DIR", f"s3://{s3.BUCKET}/x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        refused = check()
        assert refused["status"] == "fail"
        assert "AWS_SECRET_ACCESS_KEY" in refused["hint"]
        assert "wrong-secret" not in json.dumps(refused)
