from __future__ import annotations

from dataclasses import replace

from spritz_cli.models import Video, manifest_key

CARD = {"text_headline": "H", "text_body": "B", "text_action": "A", "alt": "Alt"}


def video(**changes: object) -> Video:
    return replace(Video("saver", "goals", "ready", "H", "B", "A", "Alt"), **changes)  # type: ignore[arg-type]


def test_the_key_is_the_first_16_digits_of_the_digest_of_persona_and_topic() -> None:
    assert manifest_key("high_utilization", "credit_utilization") == "cade0374e151bffc"


def test_an_entry_reads_back_as_it_was_written() -> None:
    entry = video(width=1280, height=720, bytes=99, duration_seconds=15.0, url="/v.mp4")
    assert Video.from_fields(entry.to_fields()) == entry


def test_what_is_unknown_is_left_out() -> None:
    fields = video().to_fields()
    assert fields == {
        "schema": "1",
        "persona": "saver",
        "topic": "goals",
        "status": "ready",
        **CARD,
    }


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert Video.from_fields(video().to_fields() | {"mood": "calm"}) == video()
