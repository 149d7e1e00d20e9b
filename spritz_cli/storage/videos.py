"""The videos directory: `<persona>/<topic>/<hash>.{mp4,webp,vtt,json}`, written once.

A film is published when its sidecar (`.json`) stands beside it: the sidecar is
renamed into place last and deleted first. All changes below the root go through
folder handles that refuse symbolic links, so nothing outside is ever touched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spritz_cli.errors import StorageError
from spritz_cli.models import Film, Template, Tier, Video
from spritz_cli.storage.disk import (
    FileRecord,
    disk_errors,
    is_real_folder,
    measure,
    open_folder,
    seal,
)
from spritz_cli.storage.scratch import ScratchFolders

VIDEO, POSTER, CAPTIONS, SIDECAR = "mp4", "webp", "vtt", "json"

#: The sidecar last: whoever finds it may rely on the others.
SUFFIXES = (VIDEO, POSTER, CAPTIONS, SIDECAR)

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FILE = re.compile(rf"([0-9a-f]{{16}})\.({'|'.join(SUFFIXES)})")


@dataclass(frozen=True)
class StoredVideo:
    """The files of one `<hash>.*` group, the sidecar last; `published` if it is there."""

    persona: str
    topic: str
    hash: str
    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    modified_at: float
    published: bool

    @property
    def bytes(self) -> int:
        return sum(self.sizes)


class VideoStore:
    """Keeps films under `root` and knows their public addresses below `url_prefix`."""

    def __init__(self, root: Path, url_prefix: str = "/videos") -> None:
        self.root = Path(os.path.realpath(root))
        self.url_prefix = url_prefix.rstrip("/")
        self._scratch = ScratchFolders(self.root / ".staging")

    def staging(self) -> AbstractContextManager[Path]:
        """Return a scratch directory on the store's own disk, for `publish` to move files from."""
        return self._scratch.new()

    def publish(
        self,
        film: Film,
        template: Template,
        *,
        tier: Tier,
        fingerprint: str,
        inputs: Mapping[str, Any],
        created_at: str,
        fallback_reason: str | None = None,
        error: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        cost_usd: str | None = None,
    ) -> Video:
        """Move a film from its scratch directory into place and return its manifest entry.

        The same bytes published again replace themselves. `inputs` go into the sidecar.
        """
        with disk_errors(self.root):
            records = _measure_all(film)
            name = records[VIDEO]["sha256"][:16]
            video = Video(
                persona=template.persona,
                topic=template.topic,
                status="ready",
                text_headline=template.card.headline,
                text_body=template.card.body,
                text_action=template.card.action,
                alt=template.alt,
                url=self.url(template.persona, template.topic, f"{name}.{VIDEO}"),
                hash=name,
                sha256=records[VIDEO]["sha256"],
                created_at=created_at,
                fallback_used=tier,
                provider=provider,
                model=model,
                cost_usd=cost_usd,
                fallback_reason=fallback_reason,
                error=error,
                fingerprint=fingerprint,
                duration_seconds=film.duration_seconds,
                width=film.width,
                height=film.height,
                bytes=records[VIDEO]["bytes"],
                poster_url=self.url(template.persona, template.topic, f"{name}.{POSTER}"),
                captions_url=self.url(template.persona, template.topic, f"{name}.{CAPTIONS}"),
            )
            sidecar = film.video.with_name(f"{name}.{SIDECAR}")
            _write_sidecar(sidecar, video, inputs, records)
            self._adopt(video, (film.video, film.poster, film.captions, sidecar), records)
        return video

    def url(self, persona: str, topic: str, name: str) -> str:
        """Return the public address of a stored file."""
        return f"{self.url_prefix}/{persona}/{topic}/{name}"

    def addressed(self, video: Video) -> Video:
        """Return the entry with the urls that its files have under this store's prefix."""
        poster, captions = (f"{video.hash}.{suffix}" for suffix in (POSTER, CAPTIONS))
        return replace(
            video,
            url=self._url_of(video),
            poster_url=self.url(video.persona, video.topic, poster),
            captions_url=self.url(video.persona, video.topic, captions),
        )

    def path(self, video: str | Video) -> Path:
        """Return where a film, or the file behind a url, lies; refuses whatever is not inside."""
        url = video if isinstance(video, str) else self._url_of(video)
        parts = url.removeprefix(f"{self.url_prefix}/").split("/")
        if url.startswith(f"{self.url_prefix}/") and _is_address(parts):
            path = self.root.joinpath(*parts)
            if Path(os.path.realpath(path)) == path:
                return path
        raise StorageError(
            f"{url!r} is not a file of {self.root}",
            hint=f"A film's url looks like {self.url('PERSONA', 'TOPIC', 'HASH.mp4')}.",
        )

    def intact(self, video: Video) -> bool:
        """Whether all files of a film are there with the right sizes (cheap: reads no film)."""
        return self._matches(video, lambda path, record: path.stat().st_size == record["bytes"])

    def verify(self, video: Video) -> bool:
        """Whether all files of a film have the recorded digests (reads every byte)."""
        return self._matches(video, lambda path, record: measure(path) == record)

    def sidecar(self, video: Video) -> dict[str, Any] | None:
        """Return what is recorded beside a film, with `inputs` and `files`; None if unreadable."""
        with suppress(StorageError):
            return _read_sidecar(self.path(video).with_suffix(f".{SIDECAR}"))
        return None

    def latest_sidecar(self, template: Template) -> dict[str, Any] | None:
        """Return the sidecar of the film that was published last for a template."""
        folder = self.root / template.persona / template.topic
        if not is_real_folder(folder) or not is_real_folder(folder.parent):
            return None
        paths = [path for path in sorted(folder.iterdir()) if _FILE.fullmatch(path.name)]
        found = [_read_sidecar(path) for path in paths if path.suffix == f".{SIDECAR}"]
        return max(filter(None, found), key=lambda item: str(item["created_at"]), default=None)

    def freshen(self, video: Video) -> None:
        """Note that a film is still wanted: its age for `cleanup` starts anew."""
        with disk_errors(self.root):
            os.utime(self.path(video).with_suffix(f".{SIDECAR}"))

    def videos(self) -> Iterator[StoredVideo]:
        """Yield every `<hash>.*` group on disk, complete or not, in the order of their paths."""
        with disk_errors(self.root):
            for persona in _folders(self.root):
                for topic in _folders(persona):
                    yield from _groups(topic)

    def abandoned(self) -> list[Path]:
        """Return the scratch directories whose owner is dead."""
        return self._scratch.abandoned()

    def sweep(self) -> list[Path]:
        """Remove the scratch directories whose owner is dead, and return them."""
        return self._scratch.sweep()

    def remove(self, path: Path) -> bool:
        """Delete one stored file; False if it is gone already."""
        persona, topic, name = self._address(path)
        with disk_errors(path.parent):
            try:
                with open_folder(self.root, persona, topic) as folder:
                    os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return False
        return True

    def remove_empty_folder(self, persona: str, topic: str) -> None:
        """Remove a topic's folder if nothing is left in it."""
        with suppress(OSError), open_folder(self.root, persona) as folder:
            os.rmdir(topic, dir_fd=folder)

    def _url_of(self, video: Video) -> str:
        # Not video.url: the prefix may have been another one when it was published.
        return self.url(video.persona, video.topic, f"{video.hash}.{VIDEO}")

    def _matches(self, video: Video, agrees: Callable[[Path, FileRecord], bool]) -> bool:
        sidecar = self.sidecar(video)
        if not sidecar or sidecar["sha256"] != video.sha256:
            return False
        path = self.path(video)
        try:
            return all(
                agrees(path.with_suffix(f".{suffix}"), record)
                for suffix, record in sidecar["files"].items()
            )
        except OSError:
            return False

    def _adopt(
        self, video: Video, files: Sequence[Path], records: Mapping[str, FileRecord]
    ) -> None:
        _require_safe(video.persona, video.topic)
        for path in files:
            seal(path)
        earlier = self.sidecar(video)
        with open_folder(self.root, video.persona, video.topic, create=True) as folder:
            if earlier and earlier["files"] != records:
                # The same film with other captions: what the old sidecar says ends here.
                os.unlink(f"{video.hash}.{SIDECAR}", dir_fd=folder)
            for path, suffix in zip(files, SUFFIXES, strict=True):
                if suffix == SIDECAR:
                    os.fsync(folder)
                # Within one file system, so the rename is atomic, and a rival
                # writer of the same bytes can only replace them with themselves.
                os.rename(path, f"{video.hash}.{suffix}", dst_dir_fd=folder)
            os.fsync(folder)

    def _address(self, path: Path) -> tuple[str, ...]:
        parts = path.relative_to(self.root).parts if path.is_relative_to(self.root) else ()
        if not _is_address(parts):
            raise StorageError(
                f"{path} is not a file of the store {self.root}",
                hint="vidgen deletes only what it made. Delete it by hand if it is not needed.",
            )
        return parts


def _require_safe(*names: str) -> None:
    for name in names:
        if not _FOLDER.fullmatch(name):
            raise StorageError(
                f"{name!r} cannot be the name of a folder in the store",
                hint="Use letters, digits, `_`, `-` and `.` for personas and topics.",
            )


def _is_address(parts: Sequence[str]) -> bool:
    return (
        len(parts) == 3
        and all(_FOLDER.fullmatch(part) for part in parts[:2])
        and _FILE.fullmatch(parts[2]) is not None
    )


def _measure_all(film: Film) -> dict[str, FileRecord]:
    return {
        VIDEO: measure(film.video),
        POSTER: measure(film.poster),
        CAPTIONS: measure(film.captions),
    }


def _write_sidecar(
    path: Path, video: Video, inputs: Mapping[str, Any], records: Mapping[str, FileRecord]
) -> None:
    entry = {name: value for name, value in asdict(video).items() if value is not None}
    document = {**entry, "inputs": inputs, "files": records}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), "utf-8")


def _read_sidecar(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text("utf-8"))
        listed = set(document["files"]) if document["sha256"] and document["created_at"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return document if listed == {VIDEO, POSTER, CAPTIONS} else None


def _folders(parent: Path) -> list[Path]:
    try:
        found = sorted(parent.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in found if _FOLDER.fullmatch(path.name) and is_real_folder(path)]


def _groups(topic: Path) -> Iterator[StoredVideo]:
    groups: dict[str, list[tuple[Path, os.stat_result]]] = {}
    for path in sorted(topic.iterdir()):
        if (found := _FILE.fullmatch(path.name)) and (stat := _stat(path)):
            groups.setdefault(found[1], []).append((path, stat))
    for name, files in groups.items():
        files.sort(key=lambda item: SUFFIXES.index(item[0].suffix[1:]))
        yield StoredVideo(
            persona=topic.parent.name,
            topic=topic.name,
            hash=name,
            paths=tuple(path for path, _ in files),
            sizes=tuple(stat.st_size for _, stat in files),
            modified_at=max(stat.st_mtime for _, stat in files),
            published=files[-1][0].suffix == f".{SIDECAR}",
        )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
