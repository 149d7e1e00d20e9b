"""Faults of the store: killed writers, full disks, read-only folders."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spritz_cli.errors import StorageError
from spritz_cli.models import Video
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import sample_film, sample_template

# Publishes films until it is killed, some of them repeatedly.
WRITER = """
import random, sys
from pathlib import Path
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import sample_film, sample_template
store = VideoStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    with store.staging() as scratch:
        number = random.randrange(1000)
        film = sample_film(scratch, f"{number % 20} " + "x" * 300_000)
        film.captions.write_text(f"WEBVTT {number}")
        topic = f"{sys.argv[2]}{number % 5}"
        store.publish(film, sample_template(topic=topic), tier="static",
                      fingerprint="f", inputs={}, created_at=str(number))
"""


# Keeps a scratch directory, after it has freed the lock of all of them.
HOLDER = """
import sys, time
from pathlib import Path
from spritz_cli.storage.videos import VideoStore
with VideoStore(Path(sys.argv[1])).staging():
    print("ready", flush=True)
    time.sleep(600)
"""


def publish(store: VideoStore, content: str = "film", *, on_full_disk: bool = False) -> Video:
    with store.staging() as scratch:
        film = sample_film(scratch, content)
        if on_full_disk:
            fill(scratch / "ballast")
        return store.publish(
            film,
            sample_template(),
            tier="static",
            fingerprint="f",
            inputs={"words": "x" * 9000},
            created_at="2026-11-23T09:00:00+00:00",
        )


def test_writers_killed_at_any_instant_leave_no_half_published_film(tmp_path: Path) -> None:
    store = VideoStore(tmp_path / "videos")
    for _ in range(6):
        # Two writers of one film would need its lease, so each has films of its own.
        with writing(store, name="a") as one, writing(store, name="b") as two:
            time.sleep(random.uniform(0.0, 0.15))
            one.kill()
            two.kill()
    stored = list(store.videos())
    published = [film for film in stored if film.published]
    assert published
    for film in published:
        assert store.verify(Video.from_fields(json.loads(Path(str(film.paths[-1])).read_text())))


def test_what_killed_writers_leave_can_be_swept(tmp_path: Path) -> None:
    store = VideoStore(tmp_path / "videos")
    while not store.abandoned():
        with writing(store) as writer:
            time.sleep(random.uniform(0.0, 0.05))
            writer.kill()
    with store.staging() as own:
        assert store.sweep()
        assert store.abandoned() == []
        assert own.exists()


def test_a_stopped_writer_keeps_its_scratch_directory(tmp_path: Path) -> None:
    store = VideoStore(tmp_path / "videos")
    with writing(store, HOLDER) as writer:
        writer.send_signal(signal.SIGSTOP)
        assert store.sweep() == []
        writer.kill()


def test_a_full_disk_is_one_clear_error_and_costs_nothing_published(tiny_disk: Path) -> None:
    store = VideoStore(tiny_disk / "videos")
    kept = publish(store)
    with pytest.raises(StorageError) as caught:
        publish(store, "second", on_full_disk=True)
    assert "No space left" in caught.value.message
    assert "vidgen cleanup" in caught.value.hint
    assert store.verify(kept)
    assert len(list(store.videos())) == 1
    assert publish(store, "second").hash


def test_a_file_size_limit_is_one_clear_error(tmp_path: Path) -> None:
    store = VideoStore(tmp_path / "videos")
    with limited_file_size(200), pytest.raises(StorageError) as caught:
        publish(store)
    assert "too large" in caught.value.message
    assert list(store.videos()) == []
    assert publish(store).hash


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError) as caught:
        publish(VideoStore(tmp_path / "videos"))
    assert "VIDGEN_VIDEOS_DIR" in caught.value.hint


def test_a_read_only_disk_is_one_clear_error(tiny_disk: Path) -> None:
    store = VideoStore(tiny_disk / "videos")
    kept = publish(store)
    mount("-o", "remount,ro", str(tiny_disk))
    with pytest.raises(StorageError) as caught:
        publish(store, "second")
    assert "VIDGEN_VIDEOS_DIR" in caught.value.hint
    assert store.verify(kept)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte; skips where mounting is not permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not shutil.which("mount") or mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)):
        pytest.skip("mounting a disk is not permitted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that the kernel sends, so that write() fails instead.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def writing(
    store: VideoStore, program: str = WRITER, *, name: str = "t"
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(store.folder), name], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()
