"""Watches the manifest and the videos directory during a trial."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from spritz_cli.models import manifest_key

POLL_SECONDS = 0.005

_IN_MOVED_TO = 0x80
_IN_NONBLOCK = 0o4000
_HEADER = struct.Struct("iIII")


class Publications:
    """Counts how often each film was published: its record is renamed into place each time.

    A film is named PERSONA/TOPIC, and its folder must exist. The kernel queues the events,
    so none is missed. (It merges equal events in a row, but a film's other files are renamed
    before its record.)
    """

    def __init__(self, videos: Path, films: Iterable[str]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(_IN_NONBLOCK)
        self._films: dict[int, str] = {}
        for film in films:
            folder = os.fsencode(videos / film)
            self._films[libc.inotify_add_watch(self._handle, folder, _IN_MOVED_TO)] = film
        assert -1 not in self._films, os.strerror(ctypes.get_errno())

    def close(self) -> Counter[str]:
        """Stop counting; return how often each film was published."""
        published: Counter[str] = Counter()
        while events := self._read():
            while events:
                watch, _, _, length = _HEADER.unpack_from(events)
                name = events[_HEADER.size : _HEADER.size + length].rstrip(b"\0")
                published[self._films[watch]] += name.endswith(b".json")
                events = events[_HEADER.size + length :]
        os.close(self._handle)
        return published

    def _read(self) -> bytes:
        try:
            return os.read(self._handle, 1 << 16)
        except BlockingIOError:
            return b""


class Watch:
    """Reads the manifest every few milliseconds, like the main application.

    `vanished` lists films that ceased to be ready, or lost their file, although the server
    answered; not while `excused`. `complete_at` is since when all films are ready in their
    new version (monotonic seconds).
    """

    def __init__(self, url: str, videos: Path, topics: Iterable[str], text: str) -> None:
        self._topics = tuple(topics)
        self._videos = videos
        self._text = text
        self._client = Redis.from_url(
            url, decode_responses=True, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)
        )
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.excused = False
        self.vanished: list[str] = []
        self.complete_at: float | None = None
        self.away_seconds = 0.0
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(POLL_SECONDS):
            answered = self._look()
            now = time.monotonic()
            self.away_seconds += 0.0 if answered else now - before
            before = now

    def _look(self) -> bool:
        try:
            pipeline = self._client.pipeline(transaction=False)
            for topic in self._topics:
                pipeline.hgetall(f"video:{manifest_key('newcomer', topic)}")
            entries = dict(zip(self._topics, pipeline.execute(), strict=True))
        except RedisError:
            return False
        self._note(entries)
        return True

    def _note(self, entries: Mapping[str, dict[str, Any]]) -> None:
        ready = {topic for topic, entry in entries.items() if self._is_served(topic, entry)}
        for topic in self.seen - ready:
            if not self.excused:
                status = entries[topic].get("status", "no entry")
                self.vanished.append(f"{topic}: {status}")
        self.seen = ready
        new = all(entries[topic].get("text_body") == self._text for topic in self._topics)
        if not (new and len(ready) == len(self._topics)):
            self.complete_at = None
        elif self.complete_at is None:
            self.complete_at = time.monotonic()

    def _is_served(self, topic: str, entry: Mapping[str, str]) -> bool:
        film = self._videos / "newcomer" / topic / f"{entry.get('hash')}.mp4"
        return entry.get("status") == "ready" and film.exists()
