"""The store: what is published stays whole, and nothing outside is ever touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.errors import StorageError
from spritz_cli.models import Video
from spritz_cli.storage.files.disk import rights_if_any, sync_folder
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import publish_sample as publish, sample_film, sample_template

TEMPLATE = sample_template()
NOW = "2026-11-23T09:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> VideoStore:
    return VideoStore(tmp_path / "my videos")


def test_a_film_lies_under_the_hash_of_its_bytes(store: VideoStore) -> None:
    video = publish(store)
    digest = hashlib.sha256(store.path(video).read_bytes()).hexdigest()
    assert (video.sha256, video.hash) == (digest, digest[:16])
    assert video.url == f"/videos/high_utilization/credit_utilization/{digest[:16]}.mp4"
    assert store.path(video) == store.path(video.url)
    assert store.path(video.poster_url).read_text() == "webp of film\n"
    assert store.path(video.captions_url).read_text() == "WEBVTT\n"


def test_the_sidecar_tells_all_that_the_manifest_tells_and_the_inputs(store: VideoStore) -> None:
    video = publish(store)
    sidecar = store.sidecar(video)
    assert Video.from_fields(sidecar) == video
    assert sidecar["inputs"] == {"parameters": {"payment": 2000}}
    assert video.text_headline == TEMPLATE.card.headline
    assert video.fallback_reason == "not_configured"


def test_the_same_bytes_are_stored_once(store: VideoStore) -> None:
    first, second = publish(store), publish(store)
    assert first == second
    assert len(list(store.path(first).parent.iterdir())) == 4


def test_published_files_are_read_only(store: VideoStore) -> None:
    folder = store.path(publish(store)).parent
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_published_folders_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        store = VideoStore(tmp_path / "videos")
        folder = store.path(publish(store)).parent
    finally:
        os.umask(before)
    folders = (store.folder, folder.parent, folder, store.folder / ".staging")
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in folders] == [
        *("0o755", "0o755", "0o755"),
        "0o700",
    ]


def test_folders_keep_the_group_that_they_inherit(store: VideoStore) -> None:
    store.folder.mkdir()
    store.folder.chmod(0o2775)
    persona = store.path(publish(store)).parent.parent
    assert oct(stat.S_IMODE(persona.stat().st_mode)) == "0o2755"
    assert oct(stat.S_IMODE(store.folder.stat().st_mode)) == "0o2775"


def test_rights_that_cannot_be_changed_are_left_as_they_are() -> None:
    with rights_if_any():
        Path("/proc/self/stat").chmod(0o444)


def test_a_folder_that_cannot_be_synced_is_left_to_its_file_system() -> None:
    readable, writable = os.pipe()
    sync_folder(readable)
    for handle in (readable, writable):
        os.close(handle)


def test_nothing_is_left_in_the_scratch_directory(store: VideoStore) -> None:
    publish(store)
    with suppress(RuntimeError), store.staging() as scratch:
        sample_film(scratch)
        raise RuntimeError
    assert [path.name for path in (store.folder / ".staging").iterdir()] == [".lock"]


def test_the_newest_sidecar_is_found_also_after_a_step_back(store: VideoStore) -> None:
    assert store.latest_sidecar(TEMPLATE) is None
    old = publish(store, "a", at="2026-11-01T00:00:00+00:00")
    publish(store, "b", at="2026-11-02T00:00:00+00:00")
    assert store.latest_sidecar(TEMPLATE)["sha256"] != old.sha256
    publish(store, "a", at="2026-11-03T00:00:00+00:00")
    assert store.latest_sidecar(TEMPLATE)["sha256"] == old.sha256


@pytest.mark.parametrize("suffix", [".mp4", ".webp", ".vtt", ".json"])
def test_a_film_with_a_missing_or_cut_file_is_not_intact(store: VideoStore, suffix: str) -> None:
    video = publish(store)
    assert store.intact(video)
    path = store.path(video).with_suffix(suffix)
    content = path.read_bytes()
    path.unlink()
    assert not store.intact(video)
    path.write_bytes(content[:-1])
    assert not store.intact(video)
    assert not store.verify(video)


def test_a_changed_byte_is_found_by_verify_only(store: VideoStore) -> None:
    video = publish(store)
    assert store.verify(video)
    path = store.path(video)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(b"M" + content[1:])
    assert store.intact(video)
    assert not store.verify(video)


def test_other_captions_to_the_same_film_replace_the_old_ones(store: VideoStore) -> None:
    old = publish(store)
    with store.staging() as scratch:
        film = sample_film(scratch)
        film.captions.write_text("WEBVTT\n\nother")
        new = store.publish(
            film, TEMPLATE, tier="static", fingerprint="0", inputs={}, created_at=NOW
        )
    assert new.hash == old.hash
    assert store.verify(new)
    assert store.path(new.captions_url).read_text().endswith("other")


def test_a_film_is_found_after_the_prefix_of_its_url_has_changed(store: VideoStore) -> None:
    video = publish(store)
    moved = VideoStore(store.folder, "https://cdn.example/films")
    assert moved.intact(video)
    assert moved.path(f"https://cdn.example/films/{video.name}/{video.hash}.mp4").exists()


@pytest.mark.parametrize(
    "url",
    [
        "/etc/passwd",
        "/videos/../../etc/passwd",
        "/videos/a/b/../0123456789abcdef.mp4",
        "/videos/../b/0123456789abcdef.mp4",
        "/videos/.staging/b/0123456789abcdef.mp4",
        "/videos//etc/0123456789abcdef.mp4",
        "/videos/a/b/%2e%2e.mp4",
        "/videos/a/b/0123456789ABCDEF.mp4",
        "/videos/a/b/0123456789abcdef.mp4\n",
        "/videos/a/b/0123456789abcdef.mp4\0.jpg",
        "/videos/a/b/0123456789abcdef.mp4/",
        "/videos/a\\b/c/0123456789abcdef.exe",
        "/videosa/b/0123456789abcdef.mp4",
        "a/b/0123456789abcdef.mp4",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_hostile_url_is_refused(store: VideoStore, url: str) -> None:
    publish(store)
    with pytest.raises(StorageError):
        store.path(url)


@pytest.mark.parametrize("name", ["..", ".", "", ".hidden", "a/b", "a\0b", "ä" * 3, "x" * 200])
def test_a_folder_name_that_leads_elsewhere_is_refused(store: VideoStore, name: str) -> None:
    with pytest.raises(StorageError):
        publish(store, template=replace(TEMPLATE, topic=name))


def test_a_linked_folder_is_refused_and_what_it_points_to_untouched(
    store: VideoStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    publish(store, template=replace(TEMPLATE, topic="other"))
    (store.folder / TEMPLATE.persona / TEMPLATE.topic).symlink_to(outside)
    with pytest.raises(StorageError) as caught:
        publish(store)
    assert "symbolic link" in caught.value.hint
    assert not list(outside.iterdir())
    assert [stored.topic for stored in store.videos()] == ["other"]


def test_a_linked_file_is_neither_served_nor_followed(store: VideoStore, tmp_path: Path) -> None:
    video = publish(store)
    path = store.path(video)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(StorageError):
        store.path(video.url)
    assert not store.intact(video)
    assert store.remove(path)
    assert secret.read_text() == "secret"
    publish(store)
    assert store.intact(video)


def test_a_linked_scratch_folder_is_refused(store: VideoStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "precious").mkdir(parents=True)
    store.folder.mkdir()
    (store.folder / ".staging").symlink_to(outside)
    with pytest.raises(StorageError), store.staging():
        pass
    assert store.sweep() == []
    assert (outside / "precious").exists()


def test_a_videos_directory_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "videos").symlink_to(tmp_path / "big disk")
    store = VideoStore(tmp_path / "videos")
    assert store.intact(publish(store))


@pytest.mark.parametrize("name", [".gitkeep", "notes.txt", "0123456789abcdef.mkv"])
def test_only_files_of_the_store_can_be_removed(store: VideoStore, name: str) -> None:
    folder = store.path(publish(store)).parent
    stranger = folder / name
    stranger.touch()
    with pytest.raises(StorageError):
        store.remove(stranger)
    assert stranger.exists()
    assert [len(stored.paths) for stored in store.videos()] == [4]


def test_what_lies_elsewhere_cannot_be_removed(store: VideoStore, tmp_path: Path) -> None:
    victim = tmp_path / "0123456789abcdef.mp4"
    victim.touch()
    for path in (victim, store.folder / "a" / ".." / ".." / victim.name):
        with pytest.raises(StorageError):
            store.remove(path)
    assert victim.exists()


def test_every_group_of_files_is_listed(store: VideoStore) -> None:
    assert list(store.videos()) == []
    whole, half = publish(store, "a"), publish(store, "b")
    store.remove(store.path(half).with_suffix(".json"))
    listed = {stored.hash: stored for stored in store.videos()}
    assert listed[whole.hash].published
    assert listed[whole.hash].paths[-1].suffix == ".json"
    assert not listed[half.hash].published
    assert listed[half.hash].bytes == sum(listed[half.hash].sizes)


def test_a_scratch_directory_in_use_is_not_swept(store: VideoStore) -> None:
    with store.staging() as scratch:
        assert store.sweep() == []
        assert scratch.exists()


def test_an_abandoned_scratch_directory_is_swept(store: VideoStore) -> None:
    with store.staging() as scratch:
        abandoned = scratch.with_name("abandoned")
        shutil.copytree(scratch, abandoned)
        (abandoned / "film.mp4").touch()
        bare = scratch.with_name("bare")
        bare.mkdir()
        assert store.abandoned() == [abandoned, bare]
        assert store.sweep() == [abandoned, bare]
        assert store.sweep() == []


def test_a_mangled_sidecar_counts_as_none(store: VideoStore) -> None:
    video = publish(store)
    path = store.path(video).with_suffix(".json")
    for content in ("", "[]", "{}", json.dumps({"sha256": "a", "created_at": "b", "files": 3})):
        path.unlink()
        path.write_text(content)
        assert store.sidecar(video) is None
        assert store.latest_sidecar(TEMPLATE) is None
        assert not store.intact(video)


def test_a_film_that_is_still_wanted_becomes_young_again(store: VideoStore) -> None:
    video = publish(store)
    for path in store.path(video).parent.iterdir():
        os.utime(path, (0, 0))
    store.freshen(video)
    assert next(store.videos()).modified_at > 0


def test_a_file_in_place_of_the_store_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "videos").touch()
    with pytest.raises(StorageError) as caught:
        publish(VideoStore(tmp_path / "videos"))
    assert "videos" in caught.value.message
    assert caught.value.hint
