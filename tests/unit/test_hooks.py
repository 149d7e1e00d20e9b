from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import spritz_cli
from spritz_cli import hooks
from spritz_cli.bootstrap import Services, open_services
from spritz_cli.errors import RedisUnavailable, UnknownTemplate
from spritz_cli.films.generate import generate_video
from spritz_cli.films.planning import PlanItem
from spritz_cli.runs.job_queue import JobQueue
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import FakeTier
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


def test_a_missing_film_is_queued_once(shared: Services) -> None:
    first = spritz_cli.enqueue_video_generation("newcomer", "one")
    second = spritz_cli.enqueue_video_generation("newcomer", "one")

    template = shared.catalog.get("newcomer", "one")
    assert first == second
    assert first.startswith(f"{template.key}-")
    assert queued(shared) == [first]


def test_a_current_film_is_cached(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = FakeTier()
    monkeypatch.setattr("spritz_cli.tiers.static.StaticTier", lambda _library: tier)
    template = shared.catalog.get("newcomer", "one")
    generate_video(replace(shared.studio, tiers=[tier]), PlanItem(template, "make", "new"))

    assert hooks.enqueue_video_generation("newcomer", "one") == "cached"
    assert queued(shared) == []


def test_a_film_that_others_publish_under_another_url_is_cached(
    shared: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = FakeTier()
    monkeypatch.setattr("spritz_cli.tiers.static.StaticTier", lambda _library: tier)
    template = shared.catalog.get("newcomer", "one")
    elsewhere = VideoStore(shared.store.root, "https://cdn.example/v")
    studio = replace(shared.studio, store=elsewhere, tiers=[tier])
    generate_video(studio, PlanItem(template, "make", "new"))

    assert hooks.enqueue_video_generation("newcomer", "one") == "cached"
    assert queued(shared) == []


def test_the_general_persona_is_skipped(unshared: Path) -> None:
    assert hooks.enqueue_video_generation("general", "anything") == "skipped"


def test_an_unknown_film_is_a_value_error(shared: Services) -> None:
    with pytest.raises(ValueError, match="Unknown persona: nobody"):
        hooks.enqueue_video_generation("nobody", "one")
    with pytest.raises(UnknownTemplate, match="Unknown topic: nothing for newcomer"):
        hooks.enqueue_video_generation("newcomer", "nothing")


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


def test_an_invalid_catalog_is_logged(shared: Services, caplog: pytest.LogCaptureFixture) -> None:
    shared.settings.catalog.write_text("version: 2\n")

    assert hooks.enqueue_videos_for_recommendations("u", [recommendation("one")]) == []
    assert "in the catalog" in caplog.text


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


def test_the_package_exports_what_it_promises_and_nothing_is_loaded_before_it_is_used() -> None:
    for name in spritz_cli.__all__:
        assert getattr(spritz_cli, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spritz_cli.nothing
    code = "import sys, spritz_cli; print(len([m for m in sys.modules if 'spritz' in m]))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"
