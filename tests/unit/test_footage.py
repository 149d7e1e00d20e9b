from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.errors import StorageError
from spritz_cli.storage.footage import FootageStore
from spritz_cli.testing import sample_order, sample_template
from spritz_cli.tiers.brief import Brief, answers, frame_size

TEMPLATE = sample_template()
TODAY = "2026-11-23"

#: A journal of the first version, with the old names of its fields.
JOURNAL = Path(__file__).parents[1] / "data/order.json"


@pytest.fixture
def footage(tmp_path: Path) -> FootageStore:
    return FootageStore(tmp_path / "videos")


def test_an_order_is_read_back_as_it_was_written(footage: FootageStore) -> None:
    order = footage.record(sample_order(remote_id="video_1", sent_at=1.5))
    assert footage.orders(TEMPLATE) == [order] == list(footage.all_orders())


def test_the_last_record_of_an_order_counts(footage: FootageStore) -> None:
    order = footage.record(sample_order(state="sending"))
    footage.record(order._replace(state="submitted"))

    assert [order.state for order in footage.orders(TEMPLATE)] == ["submitted"]
    assert [path.name for path in (footage.folder / TEMPLATE.name).iterdir()] == [
        f"{order.id}.json"
    ]


def test_journals_of_the_first_version_are_read_and_written_as_they_were(
    footage: FootageStore,
) -> None:
    path = footage.folder / TEMPLATE.name / "0123456789abcdef.json"
    path.parent.mkdir(parents=True)
    shutil.copyfile(JOURNAL, path)

    [order] = footage.orders(TEMPLATE)
    footage.record(order)

    assert order == sample_order(
        remote_id="video_68d7", sent_at=1_795_000_001.25, sha256="b" * 64, bytes=1234
    )
    assert path.read_bytes() == JOURNAL.read_bytes()


def test_orders_come_in_the_order_of_their_making(footage: FootageStore) -> None:
    late = footage.record(sample_order(id="0" * 16, created_at=3.0))
    second = footage.record(sample_order(id="1" * 16, created_at=2.0, part=2))
    first = footage.record(sample_order(id="2" * 16, created_at=2.0, part=1))
    assert footage.orders(TEMPLATE) == [first, second, late]


def test_an_order_that_cannot_be_read_is_an_error_and_not_a_new_purchase(
    footage: FootageStore,
) -> None:
    order = footage.record(sample_order())
    path = footage.path(order).with_suffix(".json")
    path.write_text(path.read_text()[:50])
    with pytest.raises(StorageError, match="cannot be read") as caught:
        footage.orders(TEMPLATE)
    assert "payment" in caught.value.hint


def test_a_link_in_the_place_of_a_folder_is_refused(footage: FootageStore, tmp_path: Path) -> None:
    footage.folder.mkdir(parents=True)
    (footage.folder / TEMPLATE.persona).symlink_to(tmp_path)
    with pytest.raises(StorageError):
        footage.record(sample_order())
    assert footage.orders(TEMPLATE) == []


@pytest.fixture
def noted(footage: FootageStore, tmp_path: Path) -> FootageStore:
    """A store with one order that has settled on another day, which the cache knows."""
    noting = FootageStore(tmp_path / "videos", most_unnoted=0)
    noting.record(sample_order(day="2026-01-31"))
    assert noting.orders_of(TODAY) == []
    assert (noting.folder / ".settled.json").exists()
    return noting


def test_an_order_that_is_moved_to_another_day_counts_there(noted: FootageStore) -> None:
    order = noted.record(sample_order(day=TODAY))
    assert noted.orders_of(TODAY) == [order]
    assert noted.orders_of("2026-01-31") == []


@pytest.mark.parametrize("hours", [-1_000_000 / 3600, -24, -0.1, 0, 0.1, 24])
def test_no_clock_decides_which_orders_count(noted: FootageStore, hours: float) -> None:
    order = noted.record(sample_order(day=TODAY))
    moment = time.time() + hours * 3600
    os.utime(noted.path(order).with_suffix(".json"), (moment, moment))
    assert noted.orders_of(TODAY) == [order]


@pytest.mark.parametrize("keeps_times", [True, False])
def test_an_order_restored_from_a_backup_counts(
    noted: FootageStore, tmp_path: Path, keeps_times: bool
) -> None:
    order = noted.record(sample_order(day=TODAY))
    journal = noted.path(order).with_suffix(".json")
    backup = tmp_path / "backup.json"
    shutil.copy2(journal, backup)
    noted.record(sample_order(day="2026-01-31"))
    assert noted.orders_of(TODAY) == []

    journal.unlink()
    (shutil.copy2 if keeps_times else shutil.copyfile)(backup, journal)
    assert noted.orders_of(TODAY) == [order]


def test_a_journal_that_was_edited_and_keeps_its_size_and_time_counts(noted: FootageStore) -> None:
    [order] = noted.orders_of("2026-01-31")
    journal = noted.path(order).with_suffix(".json")
    before = journal.stat()
    journal.write_text(journal.read_text().replace("2026-01-31", TODAY))
    os.utime(journal, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert noted.orders_of(TODAY) == [order._replace(day=TODAY)]


def test_what_was_noted_elsewhere_counts_for_nothing(noted: FootageStore, tmp_path: Path) -> None:
    order = noted.record(sample_order(day="2026-01-31"))
    shutil.copytree(tmp_path / "videos", tmp_path / "copy")
    copy = FootageStore(tmp_path / "copy")
    text = copy.path(order).with_suffix(".json").read_text()
    copy.path(order).with_suffix(".json").write_text(text.replace("2026-01-31", TODAY))
    assert copy.orders_of(TODAY) == [order._replace(day=TODAY)]


def test_footage_of_another_length_is_not_intact(footage: FootageStore, tmp_path: Path) -> None:
    (tmp_path / "part.mp4").write_bytes(b"footage")
    order = sample_order()
    order = footage.record(order._replace(**footage.adopt(order, tmp_path / "part.mp4")))
    assert footage.intact(order)

    footage.path(order).chmod(0o644)
    footage.path(order).write_bytes(b"foot")
    assert not footage.intact(order)


def test_words_and_numbers_are_not_paid_for() -> None:
    order = sample_order(TEMPLATE)
    assert answers(order, replace(TEMPLATE, takeaway="New.", title="New", parameters={"limit": 1}))
    assert not answers(order, replace(TEMPLATE, visual_metaphor="A boat"))
    assert not answers(order, replace(TEMPLATE, take=2))


def test_the_paid_fingerprint_is_of_prompt_model_size_and_seconds() -> None:
    brief = Brief(TEMPLATE, "sora-2", "1280x720", (8, 8))
    same = brief._replace(template=replace(TEMPLATE, takeaway="New.", duration_seconds=16))
    others = [
        brief._replace(model="veo"),
        brief._replace(size="1024x1792"),
        brief._replace(seconds=(12, 4)),
        brief._replace(template=replace(TEMPLATE, prompt_template="A boat.")),
    ]
    # Another value would buy all footage again.
    assert brief.paid_fingerprint[:16] == "7bafe01168438a80"
    assert same.paid_fingerprint == brief.paid_fingerprint
    assert brief.paid_fingerprint not in {other.paid_fingerprint for other in others}


def test_the_size_closest_to_our_shape_is_asked_for() -> None:
    assert frame_size(()) == "1280x720"
    assert frame_size(("720x1280", "1280x720")) == "1280x720"
    assert frame_size(("480x832", "832x480", "512x512")) == "832x480"
