"""The contract of the manifest, on the fake and on a real server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from redis import Redis

from spritz_cli.errors import InfrastructureError, LeaseLost, RedisUnavailable, UnknownTemplate
from spritz_cli.models import Video
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.testing import sample_template

TEMPLATE = sample_template()
OTHER = sample_template(topic="balance_transfer")
DAY = 86_400.0


def ready(content: str = "a", template=TEMPLATE) -> Video:
    return Video(
        persona=template.persona,
        topic=template.topic,
        status="ready",
        text_headline="Headline",
        text_body="Body",
        text_action="Action",
        alt="Alt “text”",
        url=f"/videos/{template.name}/{content * 16}.mp4",
        hash=content * 16,
        sha256=content * 64,
        created_at="2026-11-23T09:00:00+00:00",
        fallback_used="static",
        duration_seconds=15.0,
        width=1280,
        height=720,
        bytes=123_456,
    )


def publish(redis: Redis, video: Video) -> None:
    with Leases(redis).acquire(video.key) as lease:
        VideoManifest(redis).publish(video, lease)


def test_what_is_published_is_what_is_read(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) == ready()
    assert manifest.peek_many([OTHER, TEMPLATE]) == [None, ready()]
    assert list(manifest.entries()) == [ready()]


def test_the_hash_has_the_name_that_the_application_looks_for(any_redis: Redis) -> None:
    publish(any_redis, ready())
    stored = any_redis.hgetall(f"video:{TEMPLATE.key}")
    assert stored["url"] == ready().url
    assert stored["schema"] == "1"
    assert "provider" not in stored


def test_an_entry_expires_after_its_days_give_or_take_a_tenth(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    left, nothing = manifest.time_left([TEMPLATE, OTHER])
    assert 27 * DAY - 5 < left < 33 * DAY
    assert nothing is None
    publish(any_redis, ready())
    assert manifest.time_left([TEMPLATE])[0] != pytest.approx(left, abs=1)


def test_a_new_film_replaces_every_field_of_the_old_one(any_redis: Redis) -> None:
    publish(any_redis, replace(ready("a"), error="old trouble", provider="p"))
    publish(any_redis, ready("b"))
    assert VideoManifest(any_redis).peek(TEMPLATE.persona, TEMPLATE.topic) == ready("b")


def test_readers_count_as_hits_and_misses_and_leave_their_time(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    assert manifest.get(TEMPLATE.persona, TEMPLATE.topic).sha256 == "a" * 64
    assert manifest.get(OTHER.persona, OTHER.topic) is None
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic).last_accessed_at
    assert manifest.stats() == {
        "hits": 1,
        "misses": 1,
        "hit_rate": 0.5,
        "entries": {"processing": 0, "ready": 1, "failed": 0},
    }


def test_a_reader_does_not_bring_an_expired_entry_back(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    any_redis.pexpire(f"video:{TEMPLATE.key}", 1)
    time.sleep(0.02)
    assert manifest.get(TEMPLATE.persona, TEMPLATE.topic) is None
    assert not any_redis.exists(f"video:{TEMPLATE.key}")


def test_a_new_film_keeps_the_time_of_the_last_access(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    publish(any_redis, ready("a"))
    manifest.get(TEMPLATE.persona, TEMPLATE.topic)
    accessed = manifest.peek(TEMPLATE.persona, TEMPLATE.topic).last_accessed_at
    publish(any_redis, ready("b"))
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic).last_accessed_at == accessed


def test_whoever_was_overtaken_cannot_publish(any_redis: Redis) -> None:
    manifest, leases = VideoManifest(any_redis), Leases(any_redis)
    with leases.acquire(TEMPLATE.key) as slow:
        any_redis.delete(slow.redis_key)
        with leases.acquire(TEMPLATE.key) as quick:
            manifest.publish(ready("b"), quick)
        for act in (
            lambda: manifest.publish(ready("a"), slow),
            lambda: manifest.mark_processing(TEMPLATE, slow),
            lambda: manifest.mark_failed(TEMPLATE, slow, "error", "render_error"),
            lambda: manifest.withdraw_processing(TEMPLATE, slow),
        ):
            with pytest.raises(LeaseLost):
                act()
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) == ready("b")


def test_a_lease_covers_its_own_template_only(any_redis: Redis) -> None:
    with Leases(any_redis).acquire(OTHER.key) as lease, pytest.raises(ValueError, match="cover"):
        VideoManifest(any_redis).publish(ready(), lease)


def test_a_first_film_in_the_making_is_announced_for_a_while(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    with Leases(any_redis).acquire(TEMPLATE.key) as lease:
        assert manifest.mark_processing(TEMPLATE, lease)
    entry = manifest.peek(TEMPLATE.persona, TEMPLATE.topic)
    assert (entry.status, entry.text_headline) == ("processing", TEMPLATE.card.headline)
    assert 590 < manifest.time_left([TEMPLATE])[0] <= 600


def test_a_film_that_could_not_be_made_leaves_its_text_card(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    with Leases(any_redis).acquire(TEMPLATE.key) as lease:
        manifest.mark_processing(TEMPLATE, lease)
        assert manifest.mark_failed(TEMPLATE, lease, "cairo said no", "render_error")
    entry = manifest.peek(TEMPLATE.persona, TEMPLATE.topic)
    assert (entry.status, entry.fallback_used) == ("failed", "text")
    assert (entry.error, entry.fallback_reason) == ("cairo said no", "render_error")
    assert entry.text_action == TEMPLATE.card.action
    assert manifest.time_left([TEMPLATE])[0] > 26 * DAY


def test_a_first_film_that_is_not_made_after_all_leaves_nothing(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    with Leases(any_redis).acquire(TEMPLATE.key) as lease:
        manifest.mark_processing(TEMPLATE, lease)
        assert manifest.withdraw_processing(TEMPLATE, lease)
        assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) is None
        manifest.publish(ready(), lease)
        assert not manifest.withdraw_processing(TEMPLATE, lease)
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) == ready()


def test_neither_work_nor_failure_takes_a_ready_film_away(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    publish(any_redis, ready())
    with Leases(any_redis).acquire(TEMPLATE.key) as lease:
        assert not manifest.mark_processing(TEMPLATE, lease)
        assert not manifest.mark_failed(TEMPLATE, lease, "error", "render_error")
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) == ready()


def test_only_the_film_that_is_served_can_be_renewed_or_withdrawn(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    publish(any_redis, ready("b"))
    any_redis.expire(f"video:{TEMPLATE.key}", 100)
    assert not manifest.renew(ready("a"))
    assert not manifest.withdraw(ready("a"))
    assert manifest.renew(ready("b"))
    assert manifest.time_left([TEMPLATE])[0] > 26 * DAY
    assert manifest.withdraw(ready("b"))
    assert not manifest.renew(ready("b"))
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) is None


def test_an_entry_of_a_later_schema_is_refused(any_redis: Redis) -> None:
    publish(any_redis, replace(ready(), schema="2"))
    manifest = VideoManifest(any_redis)
    for read in (manifest.peek, manifest.get):
        with pytest.raises(InfrastructureError, match=f"video:{TEMPLATE.key} .* schema 2"):
            read(TEMPLATE.persona, TEMPLATE.topic)


def test_a_key_of_another_type_is_named(any_redis: Redis) -> None:
    any_redis.set(f"video:{TEMPLATE.key}", "not ours")
    with pytest.raises(InfrastructureError, match=f"video:{TEMPLATE.key} .* not a manifest entry"):
        VideoManifest(any_redis).peek_many([OTHER, TEMPLATE])


def test_entries_that_cannot_be_read_do_not_hide_the_others(
    any_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    publish(any_redis, ready())
    any_redis.hset("video:00000000000000aa", mapping={"schema": "2", "status": "ready"})
    any_redis.set("video:00000000000000bb", "not ours")
    any_redis.hset("video:00000000000000cc", "status", "ready")
    assert list(VideoManifest(any_redis).entries()) == [ready()]
    warnings = [record.getMessage() for record in caplog.records]
    ends = ("aa", "bb", "cc")
    assert [text.split()[0] for text in warnings] == [f"video:{'0' * 14}{end}" for end in ends]
    assert not re.search(r"__init__|argument|WRONGTYPE", caplog.text)


def test_fields_of_a_later_version_are_ignored(any_redis: Redis) -> None:
    publish(any_redis, ready())
    any_redis.hset(f"video:{TEMPLATE.key}", "colour", "teal")
    assert VideoManifest(any_redis).peek(TEMPLATE.persona, TEMPLATE.topic) == ready()


def test_a_mangled_entry_counts_as_none(any_redis: Redis) -> None:
    any_redis.hset(f"video:{TEMPLATE.key}", mapping={"status": "ready", "bytes": "many"})
    manifest = VideoManifest(any_redis)
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) is None
    assert list(manifest.entries()) == []


def test_who_has_no_catalog_looks_films_up_among_the_announced_templates(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    manifest.announce([OTHER])
    manifest.announce([TEMPLATE])

    assert manifest.look_up(TEMPLATE.persona, TEMPLATE.topic) == ready()
    with pytest.raises(UnknownTemplate, match="Unknown topic: balance_transfer") as caught:
        manifest.look_up(OTHER.persona, OTHER.topic)
    assert caught.value.hint == "Known: credit_utilization."


def test_a_look_up_counts_and_touches_nothing(any_redis: Redis) -> None:
    publish(any_redis, ready())
    manifest = VideoManifest(any_redis)
    manifest.look_up(TEMPLATE.persona, TEMPLATE.topic)

    assert manifest.stats()["hits"] == 0
    assert manifest.peek(TEMPLATE.persona, TEMPLATE.topic) == ready()


def test_before_templates_are_announced_each_may_be_one(any_redis: Redis) -> None:
    manifest = VideoManifest(any_redis)
    assert manifest.look_up("nobody", "nothing") is None
    any_redis.set("video:templates", "a string")
    assert manifest.look_up("nobody", "nothing") is None


def test_an_announcement_replaces_whatever_has_its_key(any_redis: Redis) -> None:
    any_redis.set("video:templates", "a string")
    VideoManifest(any_redis).announce([TEMPLATE, OTHER])

    assert any_redis.smembers("video:templates") == {TEMPLATE.name, OTHER.name}


def test_other_keys_are_no_entries(any_redis: Redis) -> None:
    publish(any_redis, ready())
    any_redis.set("video:budget:2026-11-23", "1")
    any_redis.set("video:lease:0123456789abcdef", "1")
    assert len(list(VideoManifest(any_redis).entries())) == 1


def test_two_prefixes_do_not_see_each_other(any_redis: Redis) -> None:
    mine, yours = VideoManifest(any_redis, "mine:"), VideoManifest(any_redis, "yours:")
    with Leases(any_redis, "mine:").acquire(TEMPLATE.key) as lease:
        mine.publish(ready(), lease)
    assert mine.peek(TEMPLATE.persona, TEMPLATE.topic)
    assert yours.peek(TEMPLATE.persona, TEMPLATE.topic) is None


def test_the_scripts_survive_a_server_that_forgot_them(any_redis: Redis) -> None:
    publish(any_redis, ready("a"))
    any_redis.script_flush()
    publish(any_redis, ready("b"))
    assert VideoManifest(any_redis).get(TEMPLATE.persona, TEMPLATE.topic).hash == "b" * 16


def test_a_server_that_cannot_be_reached_is_one_clear_error(tmp_path) -> None:
    manifest = VideoManifest.from_url(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(RedisUnavailable) as caught:
        manifest.peek(TEMPLATE.persona, TEMPLATE.topic)
    assert caught.value.hint


def test_a_full_server_is_one_clear_error(real_redis: Redis) -> None:
    real_redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisUnavailable) as caught:
            Leases(real_redis).acquire(TEMPLATE.key)
    finally:
        real_redis.config_set("maxmemory", 0)
    assert "maxmemory" in caught.value.hint


PAUSED = """
import signal, os, sys
from dataclasses import replace
from spritz_cli.errors import LeaseLost
from spritz_cli.models import Video
from spritz_cli.storage.redis.connection import connect
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.manifest import VideoManifest
url, persona, topic = sys.argv[1:]
video = Video(persona, topic, "ready", "", "", "", "", sha256="late")
redis = connect(url)
with Leases(redis, ttl_seconds=0.5).acquire(video.key) as lease:
    print("holding", flush=True)
    sys.stdin.readline()
    try:
        VideoManifest(redis).publish(video, lease)
        print("published", flush=True)
    except LeaseLost:
        print("lost", flush=True)
"""


def test_a_paused_process_cannot_overwrite_what_its_successor_published(
    real_redis: Redis, real_redis_url: str
) -> None:
    arguments = [sys.executable, "-c", PAUSED, real_redis_url, TEMPLATE.persona, TEMPLATE.topic]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "holding\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        publish(real_redis, ready("b"))
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate("go on\n", timeout=10)
    assert output == "lost\n"
    assert VideoManifest(real_redis).peek(TEMPLATE.persona, TEMPLATE.topic) == ready("b")


def test_an_entry_that_nobody_works_on_any_more_is_withdrawn(any_redis: Redis) -> None:
    manifest, leases = VideoManifest(any_redis), Leases(any_redis)
    template = sample_template()
    with leases.acquire(template.key) as lease:
        manifest.mark_processing(template, lease)
        manifest.withdraw_abandoned([template.key], leases)
        assert manifest.peek(template.persona, template.topic) is not None
    manifest.withdraw_abandoned([template.key], leases)
    assert manifest.peek(template.persona, template.topic) is None
