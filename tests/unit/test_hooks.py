from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import spritz_cli
from spritz_cli import RedisUnavailable, UnknownTemplate, Video, VideoManifest, hooks
from spritz_cli.bootstrap import Services, open_services
from spritz_cli.cli import main
from spritz_cli.models import Status, manifest_key
from spritz_cli.runs.job_queue import JobQueue
from spritz_cli.testing import sample_template
from tests import documents
from tests.small import write_project

FILMS = {"one": 5, "two": 5, "three": 5, "four": 5}

#: Far above any time budget, far below what a client left alone would wait, in seconds.
HANGING = 20.0

#: Two tries of one second, on a busy machine.
HURRIED = 4.5


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """A server that the application names in REDIS_URL, and its catalog."""
    settings = write_project(tmp_path, FILMS)
    monkeypatch.chdir(tmp_path)
    with open_services(settings) as services:
        monkeypatch.setenv("REDIS_URL", services.redis.url)
        yield services


@pytest.fixture
def unshared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, FILMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    return tmp_path


def recommendation(topic: str, persona: str = "newcomer") -> dict[str, str]:
    return {"persona": persona, "topic": topic}


def queued(services: Services) -> list[str]:
    queue = JobQueue(services.redis.url, services.settings.queue)
    try:
        return queue.waiting()
    finally:
        queue.close()


def publish(services: Services, topic: str, status: Status = "ready") -> None:
    """Put an entry into the manifest, of a film that no catalog would call current."""
    video = Video("newcomer", topic, status, "Headline", "Body", "Action", "Alt", hash="0" * 16)
    with services.leases.acquire(video.key) as lease:
        services.manifest.publish(video, lease)


def announce(services: Services) -> None:
    services.manifest.announce(services.catalog.templates)


def test_a_missing_film_is_queued_once(shared: Services) -> None:
    first = spritz_cli.enqueue_video_generation("newcomer", "one")
    second = spritz_cli.enqueue_video_generation("newcomer", "one")

    assert first == second == f"{manifest_key('newcomer', 'one')}-app"
    assert queued(shared) == [first]


@pytest.mark.parametrize("status", ["processing", "failed"])
def test_a_film_that_is_not_ready_is_queued(shared: Services, status: Status) -> None:
    publish(shared, "one", status)

    assert [hooks.enqueue_video_generation("newcomer", "one")] == queued(shared)


def test_a_film_that_is_there_is_cached_also_if_it_is_stale(shared: Services) -> None:
    publish(shared, "one")

    assert hooks.enqueue_video_generation("newcomer", "one") == "cached"
    assert queued(shared) == []


def test_to_ask_for_a_film_is_no_view(shared: Services) -> None:
    publish(shared, "one")
    hooks.enqueue_video_generation("newcomer", "one")
    hooks.enqueue_video_generation("newcomer", "two")

    stats = shared.manifest.stats()
    assert (stats["hits"], stats["misses"]) == (0, 0)


def test_the_general_persona_is_skipped(unshared: Path) -> None:
    assert hooks.enqueue_video_generation("general", "anything") == "skipped"


def test_an_unknown_film_is_a_value_error(shared: Services) -> None:
    announce(shared)

    with pytest.raises(ValueError, match="Unknown persona: nobody"):
        hooks.enqueue_video_generation("nobody", "one")
    with pytest.raises(UnknownTemplate, match="Unknown topic: thre for newcomer") as caught:
        hooks.enqueue_video_generation("newcomer", "thre")
    assert caught.value.hint == "Did you mean three?"
    assert queued(shared) == []


def test_the_catalog_that_was_announced_last_counts(shared: Services) -> None:
    announce(shared)
    shared.manifest.announce([sample_template(persona="newcomer", topic="five")])

    assert [hooks.enqueue_video_generation("newcomer", "five")] == queued(shared)
    with pytest.raises(UnknownTemplate):
        hooks.enqueue_video_generation("newcomer", "one")


def test_before_a_catalog_is_announced_the_worker_decides(shared: Services) -> None:
    assert [hooks.enqueue_video_generation("nobody", "nothing")] == queued(shared)


def test_a_key_of_another_type_counts_as_no_announcement(shared: Services) -> None:
    shared.redis.client.set("video:templates", "a string")

    assert [hooks.enqueue_video_generation("newcomer", "one")] == queued(shared)
    announce(shared)
    with pytest.raises(UnknownTemplate):
        hooks.enqueue_video_generation("newcomer", "nothing")


def test_the_hook_needs_no_catalog_and_no_films(
    shared: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_CATALOG", "/nowhere/templates.yaml")
    monkeypatch.setenv("VIDGEN_VIDEOS_DIR", "/nowhere/videos")
    folder = tmp_path / "of the application"
    folder.mkdir()
    monkeypatch.chdir(folder)

    assert [hooks.enqueue_video_generation("newcomer", "one")] == queued(shared)
    assert not list(folder.iterdir())


def test_without_a_shared_server_nothing_is_queued_where_nobody_serves(unshared: Path) -> None:
    with pytest.raises(RedisUnavailable, match="REDIS_URL is not set"):
        hooks.enqueue_video_generation("newcomer", "one")
    assert not (unshared / ".vidgen" / "redis").exists()


def test_the_top_three_recommendations_are_queued(shared: Services) -> None:
    found = hooks.enqueue_videos_for_recommendations(7, [recommendation(name) for name in FILMS])

    assert len(found) == 3
    assert queued(shared) == found


def test_recommendations_without_a_film_are_passed_over(
    shared: Services, caplog: pytest.LogCaptureFixture
) -> None:
    announce(shared)
    recommendations = [
        recommendation("one", persona="general"),
        None,
        "newcomer",
        {"persona": "newcomer"},
        {"persona": 1, "topic": ["one"]},
        recommendation("nothing"),
        SimpleNamespace(persona="newcomer", topic="one"),
    ]
    found = hooks.enqueue_videos_for_recommendations("u", recommendations)

    assert queued(shared) == found
    assert len(found) == 1
    assert "Unknown topic: nothing for newcomer" in caplog.text


@pytest.mark.parametrize("recommendations", [None, 7, [], [object()], iter([])])
def test_nonsense_never_raises(unshared: Path, recommendations: object) -> None:
    assert hooks.enqueue_videos_for_recommendations("u", recommendations) == []  # type: ignore[arg-type]


def test_without_a_shared_server_recommendations_are_logged(
    unshared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert hooks.enqueue_videos_for_recommendations("u", [recommendation("one")]) == []
    assert "REDIS_URL is not set" in caplog.text


def test_an_entry_that_cannot_be_read_does_not_stop_the_other_recommendations(
    shared: Services, caplog: pytest.LogCaptureFixture
) -> None:
    shared.redis.client.set(f"video:{manifest_key('newcomer', 'one')}", "a string")

    found = hooks.enqueue_videos_for_recommendations("u", map(recommendation, ["one", "two"]))

    assert found == queued(shared) == [f"{manifest_key('newcomer', 'two')}-app"]
    assert "is not a manifest entry" in caplog.text


def test_a_server_that_hangs_does_not_hold_up_the_request(
    unshared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        began = time.monotonic()
        found = hooks.enqueue_videos_for_recommendations(
            "u", [recommendation("one")], time_budget_seconds=0.3
        )

    assert found == []
    assert time.monotonic() - began < HANGING
    assert "within the time budget" in caplog.text


@pytest.mark.parametrize(
    "ask",
    [
        lambda: hooks.enqueue_video_generation("newcomer", "one"),
        lambda: hooks.run_cleanup(dry_run=True),
        lambda: VideoManifest.from_url(os.environ["REDIS_URL"]).get("newcomer", "one"),
    ],
    ids=["enqueue", "cleanup", "manifest"],
)
def test_a_server_that_hangs_is_an_error_within_seconds(
    unshared: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(RedisUnavailable):
            ask()

    assert time.monotonic() - began < HURRIED


def test_a_server_that_is_down_is_logged(
    unshared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "spritz_cli")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    began = time.monotonic()

    assert hooks.enqueue_videos_for_recommendations("u", [recommendation("one")]) == []
    assert time.monotonic() - began < HANGING
    assert caplog.text
    assert "secret" not in caplog.text


def test_cleanup_says_what_it_would_delete(unshared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = spritz_cli.run_cleanup(dry_run=True)

    assert {"expired_deleted", "orphaned_deleted", "lru_evicted", "disk_usage_gb"} <= set(found)


@pytest.mark.parametrize(
    ("option", "count"), [("--sync", 4), ("--no-wait", 4), ("--dry-run", 0)], ids=str
)
def test_a_run_announces_the_whole_catalog(shared: Services, option: str, count: int) -> None:
    assert main(["warm", "newcomer", "one", option]) == 0
    assert len(shared.redis.client.smembers("video:templates")) == count


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "for real"])
def test_the_application_and_the_command_report_the_same_cleanup(
    shared: Services, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    _litter(shared)
    report = spritz_cli.run_cleanup(dry_run)
    _litter(shared)
    assert main(["cleanup", "--json", *["--dry-run"] * dry_run]) == 0
    printed = documents.read(capsys.readouterr().out)

    assert report["orphaned_deleted"] == 2
    assert report["disk_usage_gb"] == (0 if not dry_run else 4e-9)
    assert printed == {"schema": "vidgen/cleanup/1", "command": "cleanup", **report}


def _litter(services: Services) -> None:
    """Leave a film of no template and the scratch of a dead process, both a day old."""
    film = services.store.folder / "newcomer" / "gone" / f"{'0' * 16}.mp4"
    scratch = services.store.folder / ".staging" / "abandoned" / "film.mp4"
    for path in (film, scratch):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film")
        day_ago = time.time() - 86_400
        os.utime(path, (day_ago, day_ago))


def test_values_that_are_not_text_hide_no_others(shared: Services) -> None:
    publish(shared, "two")
    announce(shared)
    shared.redis.client.sadd("video:templates", b"\xff\xfe")
    damaged = manifest_key("newcomer", "one")
    shared.redis.client.hset(f"video:{damaged}", "status", b"\xff")
    manifest = VideoManifest.from_url(shared.redis.url)

    assert manifest.get("newcomer", "one") is None
    assert [video and video.topic for video in manifest.peek_many(shared.catalog.templates)] == [
        None,
        "two",
        None,
        None,
    ]
    with pytest.raises(UnknownTemplate, match="Unknown topic: none"):
        hooks.enqueue_video_generation("newcomer", "none")
    assert [hooks.enqueue_video_generation("newcomer", "one")] == queued(shared)
