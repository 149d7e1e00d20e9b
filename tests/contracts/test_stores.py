"""What the stores promise, on a disk and in a bucket of each kind of server."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from spritz_cli.errors import StorageError
from spritz_cli.films.cleanup import ORPHANED, apply_cleanup, plan_cleanup
from spritz_cli.films.studio import Studio
from spritz_cli.models import ObjectPath, Template, Video
from spritz_cli.storage.files.base import DiskFiles, Files
from spritz_cli.storage.footage import FootageStore, Order
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.videos import VideoStore
from spritz_cli.testing import (
    fake_redis,
    publish_sample,
    sample_film,
    sample_order,
    sample_template,
)

A, B = sample_template(topic="a"), sample_template(topic="b")
NOW, TODAY = "2026-11-23T09:00:00+00:00", "2026-11-23"


@dataclass(frozen=True)
class Place:
    """A storage; `open` gives the same files as another host would have them."""

    open: Callable[[], Files]

    @cached_property
    def files(self) -> Files:
        return self.open()

    @property
    def store(self) -> VideoStore:
        return VideoStore(self.files)

    @property
    def footage(self) -> FootageStore:
        return FootageStore(self.files)


@pytest.fixture(params=["disk", "rclone", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "disk":
        return Place(lambda: DiskFiles(tmp_path / "videos"))
    server = request.getfixturevalue(request.param)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    from spritz_cli.storage.files.bucket import BucketFiles

    bucket = ObjectPath("films", f"{tmp_path.name}/public")
    return Place(lambda: BucketFiles(bucket, tmp_path / "staging"))


@pytest.fixture
def conditional(request: pytest.FixtureRequest, place: Place) -> Place:
    """Only where a server minds the conditions of an upload, or the disk needs none."""
    if "rclone" in request.node.callspec.params.values():
        pytest.skip("rclone ignores conditions")
    return place


def publish(store: VideoStore, content: str = "film", template: Template = A, at=NOW) -> Video:
    return publish_sample(store, content, template, at)


def test_a_published_film_is_whole_for_everybody(place: Place, tmp_path: Path) -> None:
    video = publish(place.store)
    other = VideoStore(place.open())
    assert other.intact(video)
    assert other.verify(video)
    assert other.all_intact([video] * 20) == [True] * 20
    film = other.local(video, tmp_path)
    assert hashlib.sha256(film.read_bytes()).hexdigest() == video.sha256
    assert film.with_suffix(".webp").read_text() == "webp of film\n"
    assert film.with_suffix(".vtt").read_text() == "WEBVTT\n"


def test_the_sidecar_tells_all_that_the_manifest_tells(place: Place) -> None:
    video = publish(place.store)
    sidecar = place.store.sidecar(video)
    assert Video.from_fields(sidecar) == video
    assert sidecar["inputs"] == {"parameters": {"payment": 2000}}
    assert place.store.latest_sidecar(A) == sidecar
    assert place.store.latest_sidecar(B) is None


def test_the_newest_sidecar_is_found_also_after_a_step_back(place: Place) -> None:
    store = place.store
    old = publish(store, "a", at="2026-11-01T00:00:00+00:00")
    publish(store, "b", at="2026-11-02T00:00:00+00:00")
    assert store.latest_sidecar(A)["sha256"] != old.sha256
    publish(store, "a", at="2026-11-03T00:00:00+00:00")
    assert store.latest_sidecar(A)["sha256"] == old.sha256
    assert len(list(store.videos())) == 2


def test_other_captions_to_the_same_film_replace_the_old_ones(place: Place) -> None:
    store = place.store
    old = publish(store)
    with store.staging() as scratch:
        film = sample_film(scratch)
        film.captions.write_text("WEBVTT\n\nother")
        new = store.publish(film, A, tier="static", fingerprint="0", inputs={}, created_at=NOW)
    assert new.hash == old.hash
    assert store.verify(new)


@pytest.mark.parametrize("suffix", ["mp4", "webp", "vtt", "json"])
def test_a_film_with_a_missing_or_other_file_is_not_intact(place: Place, suffix: str) -> None:
    store, files = place.store, place.files
    video = publish(store)
    name = f"{video.name}/{video.hash}.{suffix}"
    before = files.read(name)
    assert files.delete(name)
    assert not files.delete(name)
    assert not store.intact(video)
    files.write(name, before.data[:-1])
    assert not store.intact(video)
    assert not store.verify(video)


def test_a_changed_byte_is_found_by_verify_only(place: Place) -> None:
    store, files = place.store, place.files
    video = publish(store)
    name = f"{video.name}/{video.hash}.mp4"
    files.write(name, b"M" + files.read(name).data[1:])
    assert store.intact(video)
    assert not store.verify(video)


def test_a_mangled_sidecar_counts_as_none(place: Place) -> None:
    store, files = place.store, place.files
    video = publish(store)
    for content in ("{", "[]", "{}", json.dumps({"sha256": "a", "created_at": "b", "files": 3})):
        files.write(f"{video.name}/{video.hash}.json", content.encode())
        assert store.sidecar(video) is None
        assert not store.intact(video)


@pytest.mark.parametrize("count", [1, 10])
def test_a_survey_tells_what_the_store_tells(place: Place, count: int) -> None:
    # Of so many personas that all of a bucket is listed.
    templates = [sample_template(persona=f"p{number}", topic="a") for number in range(count)]
    videos = [publish(place.store, template=template) for template in templates]
    place.files.delete(f"{videos[0].name}/{videos[0].hash}.webp")
    order = sample_order()._replace(template=templates[0].name)
    place.footage.record(order)

    def told() -> tuple[Any, ...]:
        store = place.store
        films = [store.intact(video) for video in videos], [store.sidecar(v) for v in videos]
        latest = [store.latest_sidecar(template) for template in [*templates, A]]
        return *films, latest, list(store.videos()), place.footage.orders(templates[0])

    live = told()
    with place.store.snapshot(videos):
        assert told() == live
        assert told() == live
    with place.store.snapshot(templates):
        assert told() == live
    assert live[0] == [False] + [True] * (count - 1)
    assert live[-1] == [order]


def test_a_survey_ends_when_something_is_changed(place: Place) -> None:
    store, video = place.store, publish(place.store)
    with store.snapshot([video]):
        assert store.intact(video)
        assert place.files.delete(f"{video.name}/{video.hash}.webp")
        assert not store.intact(video)
        again = publish(store)
        assert store.intact(again)


def test_a_survey_is_nothing_to_other_threads(place: Place) -> None:
    store, video = place.store, publish(place.store)
    found: list[bool] = []
    with store.snapshot([video]):
        VideoStore(place.open()).remove(store.location / f"{video.name}/{video.hash}.webp")
        thread = Thread(target=lambda: found.append(store.intact(video)))
        thread.start()
        thread.join()
    assert found == [False]


def test_films_are_listed_in_order_and_nothing_else_is(place: Place) -> None:
    store, files = place.store, place.files
    assert list(store.videos()) == []
    whole, half = publish(store, "a", B), publish(store, "b", A)
    for name in (f"{half.name}/notes.txt", ".footage/x/y/0123456789abcdef.mp4", "a/b/c/d.mp4"):
        files.write(name, b"stranger")
    store.remove(store.location / f"{half.name}/{half.hash}.json")
    listed = list(store.videos())
    assert [(film.topic, film.hash) for film in listed] == [("a", half.hash), ("b", whole.hash)]
    assert [film.published for film in listed] == [False, True]
    assert [len(film.paths) for film in listed] == [3, 4]
    assert listed[1].paths[-1].suffix == ".json"
    assert abs(listed[1].modified_at - time.time()) < 60


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "/videos/../a/0123456789abcdef.mp4", "/videos/.x/b/0123456789abcdef.mp4"]
)
def test_a_hostile_url_is_refused(place: Place, tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError):
        place.store.local(url, tmp_path)


@pytest.mark.parametrize("name", ["..", "", ".hidden", "a/b", "a\0b", "ä", "x" * 200])
def test_a_folder_name_that_leads_elsewhere_is_refused(place: Place, name: str) -> None:
    with pytest.raises(StorageError):
        publish(place.store, template=replace(A, topic=name))
    assert list(place.store.videos()) == []


def test_only_files_of_the_store_can_be_removed(place: Place) -> None:
    store = place.store
    publish(store)
    for name in ("notes.txt", "a/b/0123456789abcdef.exe", ".footage/a/b/0123456789abcdef.json"):
        with pytest.raises(StorageError):
            store.remove(store.location / name)


def test_a_film_that_is_still_wanted_becomes_young_again(place: Place) -> None:
    store = place.store
    video = publish(store)
    film = next(store.videos())
    # Object stores count in whole seconds.
    time.sleep(1.1)
    store.freshen(video)
    assert store.modified_at(film) > film.modified_at
    assert store.verify(video)


def test_what_a_cleanup_took_is_not_made_young_again(place: Place) -> None:
    store = place.store
    video = publish(store)
    store.remove(store.location / f"{video.name}/{video.hash}.json")
    with pytest.raises(StorageError):
        store.freshen(video)
    assert store.sidecar(video) is None


def test_a_cleanup_deletes_what_was_replaced_and_keeps_the_rest(place: Place) -> None:
    store, redis = place.store, fake_redis()
    manifest, leases = VideoManifest(redis), Leases(redis)
    old, new, other = publish(store, "old"), publish(store, "new"), publish(store, "film", B)
    for template, video in ((A, new), (B, other)):
        with leases.acquire(template.key) as lease:
            manifest.publish(video, lease)
    later = datetime.fromtimestamp(time.time() + 7200, UTC)
    studio = Studio(store, manifest, leases, (), clock=lambda: later)
    plan = plan_cleanup(studio, None, quota_bytes=10**9)
    names = [
        str(item.path).removeprefix(f"{store.location}/{old.name}/") for item in plan.deletions
    ]
    assert names == [f"{old.hash}.{suffix}" for suffix in ("json", "vtt", "webp", "mp4")]
    assert {item.reason for item in plan.deletions} == {ORPHANED}
    assert len(list(store.videos())) == 3
    assert apply_cleanup(plan, studio) == plan.deletions
    assert apply_cleanup(plan, studio) == ()
    assert {film.hash for film in store.videos()} == {new.hash, other.hash}
    assert store.all_intact([old, new, other]) == [False, True, True]


def order(state: str = "intended", **changes: Any) -> Order:
    return sample_order(A, state=state, prompt="A calm “gauge”", **changes)


def test_an_order_is_what_was_recorded_last(place: Place) -> None:
    place.footage.record(order())
    sent = place.footage.record(order("submitted", remote_id="video_1"))
    later = place.footage.record(order(id="1123456789abcdef", created_at=sent.created_at + 1))
    assert place.footage.orders(A) == [sent, later]
    assert place.footage.orders(B) == []
    assert sorted(place.footage.all_orders(), key=lambda one: one.id) == [sent, later]


class ReadsNoted:
    """Files that note which journals of orders are read."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.journals: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def read(self, name: str) -> Any:
        if not name.endswith(".settled.json"):
            self.journals.append(name)
        return self._files.read(name)


def settled(number: int, day: str = "2026-01-31") -> Order:
    return order("stored", id=f"{number:016x}", day=day)


def test_settled_orders_of_other_days_are_read_once(place: Place) -> None:
    for number in range(12):
        place.footage.record(settled(number))
    today = place.footage.record(order("submitted", id="f" * 16, day=TODAY))
    files: Any = ReadsNoted(place.open())
    footage = FootageStore(files, most_unnoted=10)

    assert footage.orders_of(TODAY) == [today]
    assert len(files.journals) == 13
    files.journals.clear()
    assert footage.orders_of(TODAY) == [today]
    assert files.journals == [f".footage/{A.name}/{today.id}.json"]
    assert len(footage.orders_of("2026-01-31")) == 12


class Fate:
    """Does to orders at random what may happen to them."""

    def __init__(self, place: Place, seed: int) -> None:
        self.chance = random.Random(seed)
        self.days = ("2026-01-31", "2026-11-22", TODAY)
        self.footage = FootageStore(place.files, most_unnoted=self.chance.choice((0, 2)))
        self._files = place.files
        self._backup: dict[str, bytes] = {}

    def strike(self) -> None:
        often = (self._write,) * 3
        self.chance.choice(
            (*often, self._delete, self._back_up, self._restore, self._damage_cache)
        )()

    def _write(self) -> None:
        state = self.chance.choice(("intended", "submitted", "stored", "failed", "refused"))
        number = f"{self.chance.randrange(8):016x}"
        self.footage.record(order(state, id=number, day=self.chance.choice(self.days)))

    def _delete(self) -> None:
        for first in list(self.footage.all_orders())[:1]:
            self.footage.remove(first)

    def _back_up(self) -> None:
        names = [found.name for found in self._files.find(f".footage/{A.name}/")]
        self._backup = {name: self._files.read(name).data for name in names}

    def _restore(self) -> None:
        for name, data in self._backup.items():
            self._files.write(name, data)

    def _damage_cache(self) -> None:
        garbage = self.chance.choice((b"{", b"[]", b'{"a": 1}'))
        self._files.write(".footage/.settled.json", garbage)


@pytest.mark.parametrize("seed", range(6))
def test_orders_of_a_day_are_those_that_a_full_reading_finds(place: Place, seed: int) -> None:
    fate = Fate(place, seed)
    for _ in range(25):
        fate.strike()
        orders = list(fate.footage.all_orders())
        for day in fate.days:
            wanted = {one for one in orders if one.day == day}
            assert set(fate.footage.orders_of(day)) == wanted


def test_footage_is_stored_in_full_length(place: Place, tmp_path: Path) -> None:
    footage = place.footage
    scratch = tmp_path / "segment.mp4"
    assert not footage.intact(order())
    # On the disk of the store, as the pipeline has it.
    with place.store.staging() as folder:
        scratch = folder / "segment.mp4"
        scratch.write_bytes(b"footage" * 1000)
        told = footage.adopt(order("submitted"), scratch)
    stored = footage.record(order("stored", **told))
    sizes = [(location.suffix, size) for location, size in footage.files(stored)]
    assert sizes == [(".json", sizes[0][1]), (".mp4", 7000)]
    assert place.footage.intact(stored)
    assert not place.footage.intact(stored._replace(bytes=1))
    assert place.footage.local(stored, tmp_path).read_bytes() == b"footage" * 1000
    assert len(footage.remove(stored)) == 2
    assert footage.remove(stored) == []
    assert not footage.intact(stored)


def test_an_order_that_cannot_be_read_is_not_passed_over(place: Place) -> None:
    place.footage.record(order())
    place.files.write(f".footage/{A.name}/1123456789abcdef.json", b"{")
    with pytest.raises(StorageError) as caught:
        place.footage.orders(A)
    assert "payment" in caught.value.hint


def test_a_rival_sidecar_is_not_overwritten(place: Place) -> None:
    files: Any = place.files
    if isinstance(files, DiskFiles) or not files.probe():
        pytest.skip("only servers that mind conditions can tell")
    store = place.store

    class Slow:
        """Lets a rival publish the same film between the look and the sidecar."""

        def __getattr__(self, name: str):
            return getattr(files, name)

        def put_last(self, *arguments) -> None:
            publish(store, at="2026-11-23T10:00:00+00:00")
            files.put_last(*arguments)

    with pytest.raises(StorageError) as caught:
        publish(VideoStore(cast(Files, Slow())))
    assert "another process" in caught.value.message
    assert store.latest_sidecar(A)["created_at"] == "2026-11-23T10:00:00+00:00"


def test_only_one_at_a_time_reserves_money(conditional: Place) -> None:
    footage, inside, seen = [FootageStore(conditional.open()) for _ in range(4)], [], []

    def reserve(mine: FootageStore) -> None:
        for _ in range(3):
            with mine.locked():
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0.01)
                inside.pop()

    threads = [Thread(target=reserve, args=(mine,)) for mine in footage]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [1] * 12


def test_a_lock_whose_holder_died_is_taken_over(
    conditional: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(conditional.files, DiskFiles):
        pytest.skip("the kernel frees it")
    from spritz_cli.storage.files import bucket as objects

    monkeypatch.setattr(objects, "STALE_LOCK_SECONDS", 0.5)
    conditional.files.write(".footage/.lock", b"a host that is gone")
    began = time.monotonic()
    with conditional.footage.locked():
        assert time.monotonic() - began > 0.5
    assert conditional.files.read(".footage/.lock") is None
