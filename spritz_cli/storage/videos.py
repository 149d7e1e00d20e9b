"""The store of films: `<persona>/<topic>/<hash>.{mp4,webp,vtt,json}`, written once.

A film is published when its sidecar (`.json`) exists. The sidecar is written last
and deleted first.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from spritz_cli.errors import StorageError
from spritz_cli.models import Location, RenderedFilm, Template, Tier, Video
from spritz_cli.storage.files.base import (
    Content,
    DiskFiles,
    Files,
    FoundFile,
    in_parallel,
    local_folder,
)
from spritz_cli.storage.files.disk import FileRecord, disk_errors, measure
from spritz_cli.storage.footage import FootageStore

VIDEO, POSTER, CAPTIONS, SIDECAR = "mp4", "webp", "vtt", "json"

#: The sidecar last: if it exists, so do the others.
SUFFIXES = (VIDEO, POSTER, CAPTIONS, SIDECAR)

#: Up to this number of folders are listed one by one, more by one listing of all.
FEW = 8

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FILE = re.compile(rf"([0-9a-f]{{16}})\.({'|'.join(SUFFIXES)})")


class StoredFilm(NamedTuple):
    """The files of one `<hash>.*` group, sidecar last; `published` if there is one."""

    persona: str
    topic: str
    hash: str
    paths: tuple[Location, ...]
    sizes: tuple[int, ...]
    modified_at: float
    published: bool

    @property
    def bytes(self) -> int:
        return sum(self.sizes)


class VideoStore:
    """Stores films below a folder, or in other `Files`, and knows their public URLs."""

    def __init__(self, location: Path | Files, url_prefix: str = "/videos") -> None:
        self._files = DiskFiles(location) if isinstance(location, Path) else location
        self.location = self._files.location
        self._footage = FootageStore(self._files)
        self.url_prefix = url_prefix.rstrip("/")

    @property
    def folder(self) -> Path:
        """The folder of all films; StorageError if they are in a bucket."""
        return local_folder(self._files)

    def staging(self) -> AbstractContextManager[Path]:
        """Return a scratch directory on this machine that `publish` moves files from."""
        return self._files.scratch.new()

    def publish(
        self,
        film: RenderedFilm,
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

        Publishing the same bytes again is harmless. `inputs` go into the sidecar.
        """
        with disk_errors(film.video.parent):
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
            )
            video = self.addressed(video)
            sidecar = film.video.with_name(f"{name}.{SIDECAR}")
            _write_sidecar(sidecar, video, inputs, records)
        self._adopt(video, (film.video, film.poster, film.captions, sidecar), records)
        return video

    def url(self, persona: str, topic: str, name: str) -> str:
        """Return the public URL of a stored file."""
        return f"{self.url_prefix}/{persona}/{topic}/{name}"

    def addressed(self, video: Video) -> Video:
        """Return the entry with the URLs of its files under the prefix of this store."""
        poster, captions = (f"{video.hash}.{suffix}" for suffix in (POSTER, CAPTIONS))
        return replace(
            video,
            url=self._url_of(video),
            poster_url=self.url(video.persona, video.topic, poster),
            captions_url=self.url(video.persona, video.topic, captions),
        )

    def path(self, video: str | Video) -> Path:
        """Return the path of a film, or of the file behind a URL.

        Raises StorageError if it would be outside the store, or is in a bucket (see `local`).
        """
        url, name = self._required(video)
        path = self.folder / name
        if Path(os.path.realpath(path)) == path:
            return path
        raise self._is_no_file(url)

    def local(self, video: str | Video, folder: Path) -> Path:
        """Return the path of a film on this machine, with poster and captions beside it.

        From a bucket they are copied to `folder`. For a URL, only that file.
        """
        _, name = self._required(video)
        suffixes = (VIDEO,) if isinstance(video, str) else (VIDEO, POSTER, CAPTIONS)
        names = [name, *(_beside(name, suffix) for suffix in suffixes[1:])]
        return in_parallel(self._files, lambda each: self._files.local(each, folder), names)[0]

    def intact(self, video: Video) -> bool:
        """Whether all files of a film exist with the recorded sizes. Does not read them."""
        return self._agrees(video, self._sizes)

    def all_intact(self, videos: Iterable[Video]) -> list[bool]:
        """Return `intact` for each of many films, with one listing of a bucket."""
        videos = list(videos)
        with self._files.snapshot(self._prefixes(videos)):
            return in_parallel(self._files, self.intact, videos)

    @contextmanager
    def snapshot(self, wanted: Sequence[Template | Video]) -> Iterator[None]:
        """Make reports about many films fast: see `Files.snapshot`.

        A template stands for all its films. The snapshot includes their footage.
        """
        with self._files.snapshot(self._prefixes(wanted)):
            # The snapshot keeps what is read here in parallel.
            in_parallel(self._files, self._files.read, self._records(wanted))
            yield

    def verify(self, video: Video) -> bool:
        """Whether all files of a film have the recorded digests. Reads every byte."""
        return self._agrees(video, self._digests)

    def sidecar(self, video: Video) -> dict[str, Any] | None:
        """Return the sidecar of a film, with `inputs` and `files`; None if missing or damaged."""
        _, name = self._url_and_name(video)
        return self._sidecar(_beside(name, SIDECAR)) if name else None

    def latest_sidecar(self, template: Template) -> dict[str, Any] | None:
        """Return the sidecar of the film of a template that was published last."""
        files = self._files.find(f"{template.name}/")
        names = [file.name for file in files if _is_address(file.name.split("/"))]
        sidecars = [name for name in names if name.endswith(f".{SIDECAR}")]
        known = filter(None, in_parallel(self._files, self._sidecar, sidecars))
        return max(known, key=lambda item: str(item["created_at"]), default=None)

    def freshen(self, video: Video) -> None:
        """Reset the age of a film that is still wanted, for `cleanup`."""
        self._files.touch(_beside(self._required(video)[1], SIDECAR))

    def videos(self) -> Iterator[StoredFilm]:
        """Yield every `<hash>.*` group, complete or not, sorted by name."""
        stored = (file for file in self._files.find("") if _is_address(file.name.split("/")))
        for stem, files in groupby(stored, key=_stem):
            yield _stored_film(stem, list(files), self.location)

    def modified_at(self, film: StoredFilm) -> float:
        """Return the current time of the last change of its files, in epoch seconds."""
        stem = f"{film.persona}/{film.topic}/{film.hash}"
        return max((file.modified_at for file in self._files.find(f"{stem}.")), default=0.0)

    def abandoned(self) -> list[Path]:
        """Return the scratch directories of dead processes."""
        return self._files.scratch.abandoned()

    def sweep(self) -> list[Path]:
        """Remove the scratch directories of dead processes, and return them."""
        return self._files.scratch.sweep()

    def remove(self, location: Location) -> bool:
        """Delete a stored file; False if it is gone already."""
        return self._files.delete(self._name_of(location))

    def remove_empty_folder(self, persona: str, topic: str) -> None:
        """Remove the folder of a topic if it is empty."""
        self._files.delete_empty_folder(f"{persona}/{topic}")

    def _url_of(self, video: Video) -> str:
        # Not video.url: the prefix may have changed since it was published.
        return self.url(video.persona, video.topic, f"{video.hash}.{VIDEO}")

    def _url_and_name(self, video: str | Video) -> tuple[str, str | None]:
        """Return the URL of a film, and its name in the store, None if it is outside."""
        url = video if isinstance(video, str) else self._url_of(video)
        name = url.removeprefix(f"{self.url_prefix}/")
        inside = url.startswith(f"{self.url_prefix}/") and _is_address(name.split("/"))
        return url, name if inside else None

    def _required(self, video: str | Video) -> tuple[str, str]:
        url, name = self._url_and_name(video)
        if name is None:
            raise self._is_no_file(url)
        return url, name

    def _is_no_file(self, url: str) -> StorageError:
        return StorageError(
            f"{url!r} is not a file of {self.location}",
            hint=f"The URL of a film looks like {self.url('PERSONA', 'TOPIC', 'HASH.mp4')}.",
        )

    def _agrees(self, video: Video, look: Callable[[str], dict[str, Any]]) -> bool:
        """Compare the sidecar with what `look` returns, both by suffix."""
        sidecar = self.sidecar(video)
        if not sidecar or sidecar["sha256"] != video.sha256:
            return False
        actual = look(f"{video.name}/{video.hash}")
        return all(
            actual.get(suffix) in (record, record["bytes"])
            for suffix, record in sidecar["files"].items()
        )

    def _records(self, wanted: Sequence[Template | Video]) -> Iterator[str]:
        """Yield the names of sidecars and of journals of footage."""
        if self._files.parallel_calls == 1:
            return
        for item in wanted:
            film = f"/{item.hash}" if isinstance(item, Video) else "/"
            files = self._files.find(f"{item.name}{film}")
            yield from (file.name for file in files if file.name.endswith(f".{SIDECAR}"))
        yield from self._footage.journals(item.name for item in wanted)

    def _prefixes(self, wanted: Sequence[Template | Video]) -> list[str]:
        """Return few prefixes that cover all of these."""
        names = {item.name for item in wanted}
        if len(names) > FEW:
            names = {item.persona for item in wanted}
        if len(names) > FEW:
            return [""]
        return [*(f"{name}/" for name in sorted(names)), *self._footage.folders(sorted(names))]

    def _sizes(self, stem: str) -> dict[str, Any]:
        files = self._files.find(f"{stem}.")
        return {file.name.removeprefix(f"{stem}."): file.bytes for file in files}

    def _digests(self, stem: str) -> dict[str, Any]:
        return {suffix: self._files.measure(f"{stem}.{suffix}") for suffix in SUFFIXES[:-1]}

    def _sidecar(self, name: str) -> dict[str, Any] | None:
        return _parsed(self._files.read(name))

    def _adopt(
        self, video: Video, files: Sequence[Path], records: Mapping[str, FileRecord]
    ) -> None:
        _require_safe(video.persona, video.topic)
        *media, sidecar = files
        stem = f"{video.name}/{video.hash}"
        seen = self._files.read(f"{stem}.{SIDECAR}")
        earlier = _parsed(seen)
        if earlier and earlier["files"] != records:
            # The same film with other captions: the old sidecar is no longer true.
            self._files.delete(f"{stem}.{SIDECAR}")
            seen = None
        for path, suffix in zip(media, SUFFIXES, strict=False):
            self._files.put(path, f"{stem}.{suffix}")
        self._files.put_last(sidecar, f"{stem}.{SIDECAR}", seen)

    def _name_of(self, location: Location) -> str:
        name = str(location).removeprefix(f"{self.location}/")
        if name == str(location) or not _is_address(name.split("/")):
            raise StorageError(
                f"{location} is not a file of the store {self.location}",
                hint="vidgen deletes only what it made. Delete it by hand if it is not needed.",
            )
        return name


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


def _measure_all(film: RenderedFilm) -> dict[str, FileRecord]:
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


def _parsed(content: Content | None) -> dict[str, Any] | None:
    """Return the document of a sidecar; None if it is missing or damaged."""
    if content is None:
        return None
    try:
        document = json.loads(content.data)
        listed = set(document["files"]) if document["sha256"] and document["created_at"] else None
    except (ValueError, KeyError, TypeError):
        return None
    return document if listed == {VIDEO, POSTER, CAPTIONS} else None


def _beside(name: str, suffix: str) -> str:
    return f"{name.rpartition('.')[0]}.{suffix}"


def _stem(file: FoundFile) -> str:
    return file.name.rpartition(".")[0]


def _stored_film(stem: str, files: Sequence[FoundFile], location: Location) -> StoredFilm:
    persona, topic, name = stem.split("/")
    ordered = sorted(files, key=lambda file: SUFFIXES.index(file.name.rpartition(".")[2]))
    return StoredFilm(
        persona=persona,
        topic=topic,
        hash=name,
        paths=tuple(location / file.name for file in ordered),
        sizes=tuple(file.bytes for file in ordered),
        modified_at=max(file.modified_at for file in ordered),
        published=ordered[-1].name.endswith(f".{SIDECAR}"),
    )
