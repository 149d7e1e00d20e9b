"""The rehearsal of faults must see what it is there to see."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from spritz_cli.catalog.schema import MAX_TEMPLATES
from spritz_cli.models import manifest_key
from tests.drill import scale
from tests.drill.results import Book, line, table
from tests.drill.trial import Result
from tests.drill.watch import Publications, Watch
from tests.processes import wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")

KEY = f"video:{manifest_key('newcomer', 'live')}"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "newcomer" / "live").mkdir(parents=True)
    (tmp_path / "newcomer" / "live" / "abc.mp4").touch()
    return tmp_path


@pytest.fixture
def watch(videos: Path, real_redis: Redis, real_redis_url: str):
    show(real_redis, "old")
    watch = Watch(real_redis_url, videos, ["live"], "new")
    wait_until(lambda: watch.seen)
    yield watch
    watch.close()


def show(redis: Redis, text: str, status: str = "ready") -> None:
    redis.hset(KEY, mapping={"status": status, "hash": "abc", "text_body": text})


@linux
def test_every_publication_is_counted(videos: Path) -> None:
    publications = Publications(videos, ["newcomer/live"])
    for name in 2 * ("abc.mp4", "abc.webp", "abc.vtt", "abc.json"):
        scratch = videos / "scratch"
        scratch.touch()
        scratch.rename(videos / "newcomer" / "live" / name)

    assert publications.close() == {"newcomer/live": 2}


def test_an_entry_that_is_gone_for_a_moment_is_noticed(watch: Watch, real_redis: Redis) -> None:
    real_redis.delete(KEY)
    wait_until(lambda: watch.vanished)
    show(real_redis, "old")

    assert watch.vanished == ["live: no entry"]


def test_an_entry_whose_film_is_gone_is_noticed(watch: Watch, videos: Path) -> None:
    (videos / "newcomer" / "live" / "abc.mp4").unlink()

    assert wait_until(lambda: watch.vanished) == ["live: ready"]


def test_films_are_complete_in_their_new_version_only(watch: Watch, real_redis: Redis) -> None:
    time.sleep(0.05)
    before = watch.complete_at
    show(real_redis, "new")

    assert before is None
    assert wait_until(lambda: watch.complete_at)
    assert watch.vanished == []


def test_a_catalog_beyond_the_limits_is_read_by_a_copy_with_raised_ones(tmp_path: Path) -> None:
    copy = scale._package(tmp_path, MAX_TEMPLATES + 1)
    code = "from spritz_cli.catalog.schema import MAX_TEMPLATES; print(MAX_TEMPLATES)"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
    )

    assert process.stdout == "50000\n", process.stderr


def test_a_book_is_clean_only_if_nothing_went_wrong_and_soon(tmp_path: Path) -> None:
    book = Book()
    book.add(Result("kill-horse", 1, "service", 0.5, struck=True, recovery=4.0))
    good = book.clean
    book.save(tmp_path / "results.json", tmp_path / "table.txt")
    book.add(Result("kill-horse", 2, "service", 0.5, struck=True, recovery=31.0))
    late = book.clean
    lost = Result("kill-horse", 3, "service", 0.5, struck=True, lost=["one"])

    assert (good, late, lost.clean) == (True, False, False)
    assert Book.load(tmp_path / "results.json").clean
    assert "LOST one" in line(lost)
    assert "kill-horse              2" in table(book)
