"""A bucket of an object store that speaks S3, in place of the disk.

An upload is there in full or not at all, and everybody sees it at once: S3
promises that, and so do the servers that speak its language. Where and as whom
is read by botocore from the usual AWS_* variables and files.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from spritz_cli.errors import InfrastructureError, MissingLibrary, StorageError
from spritz_cli.models import ObjectPath
from spritz_cli.retries import Retries
from spritz_cli.storage.files.base import Content, FoundFile, at_once
from spritz_cli.storage.files.disk import FileRecord, Readable, disk_errors, measure_pieces
from spritz_cli.storage.files.scratch import ScratchFolders
from spritz_cli.storage.files.snapshot import Survey

try:
    from botocore.config import Config
    from botocore.session import Session

    from spritz_cli.storage.files.bucket_errors import (
        ObjectChanged,
        ObjectLost,
        ObjectMissing,
        ObjectOption,
        host_of,
        object_errors,
        require,
    )
except ImportError as exc:
    raise MissingLibrary(
        "films can be published to a bucket only with the package botocore",
        hint="Run: pip install 'spritz-vidgen[s3]'",
    ) from exc

_T = TypeVar("_T")

#: In seconds. A server that hangs costs each request ATTEMPTS times as long at most.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
ATTEMPTS = 3

#: For a connection that breaks off in the middle of a download.
DOWNLOAD_RETRIES = Retries((0.0,) * (ATTEMPTS - 1))

#: The same for whoever has a user waiting, who asks only once.
QUICK_SECONDS = 3.0

#: A lock that nobody took or freed for so long has lost its holder.
STALE_LOCK_SECONDS = 60.0
LOCK_PATIENCE_SECONDS = 300.0

_TYPES = {
    ".mp4": "video/mp4",
    ".webp": "image/webp",
    ".vtt": "text/vtt",
    ".json": "application/json",
}
#: Whose files are looked at from a survey by this thread and those that help it.
_SURVEY: ContextVar[tuple[BucketFiles | None, Survey | None]]
_SURVEY = ContextVar("_SURVEY", default=(None, None))

_FOR_EVER = "public, max-age=31536000, immutable"


class BucketFiles:
    """Keeps files below a prefix of a bucket; `scratch` is a folder of this machine.

    `quick`: rather an error within seconds than an answer after a minute.
    """

    calls_at_once = 16

    def __init__(
        self,
        location: ObjectPath,
        scratch: Path,
        region: str | None = None,
        *,
        quick: bool = False,
    ) -> None:
        self.location = location
        self.scratch = ScratchFolders(scratch)
        self._region = region
        self._quick = quick
        self._connecting = threading.Lock()
        self._connected: tuple[int, Any] = (0, None)

    @property
    def server(self) -> str:
        """Host and port of the server."""
        with object_errors("opening", self.location, "the object store"):
            return host_of(self._client.meta.endpoint_url)

    def put(self, file: Path, name: str) -> None:
        with disk_errors(file.parent), file.open("rb") as body:
            self._put(name, body)

    def put_last(self, file: Path, name: str, seen: Content | None) -> None:
        with disk_errors(file.parent):
            data = file.read_bytes()
        if not self._put_if(name, data, seen):
            raise ObjectChanged(
                f"another process has published {self.location / name} meanwhile",
                hint="Run the same command again: it goes on from what is there.",
            )

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def read(self, name: str) -> Content | None:
        survey = _survey_of(self, name)
        if survey is None:
            return self._read(name)
        if not survey.knows(name):
            survey.note(name, self._read(name))
        return survey.recall(name)

    def measure(self, name: str) -> FileRecord | None:
        with suppress(ObjectMissing):
            return self._download(name, lambda body, _: measure_pieces(body))
        return None

    def find(self, prefix: str) -> Iterator[FoundFile]:
        survey = _survey_of(self, prefix)
        found = survey.find(prefix) if survey else self._listed(prefix)
        return (file for file in found if not _is_hidden(file.name, prefix))

    @contextmanager
    def surveyed(self, prefixes: Sequence[str]) -> Iterator[None]:
        survey = Survey(prefixes, at_once(self, self._listed, prefixes))
        before = _SURVEY.set((self, survey))
        try:
            yield
        finally:
            _SURVEY.reset(before)

    def touch(self, name: str) -> None:
        # By an upload of the same: not every server sees to the time when an object is copied
        # onto itself. What a cleanup took meanwhile is not to come back.
        seen = self.read(name)
        if seen is None or not self._put_if(name, seen.data, seen):
            raise StorageError(
                f"{self.location / name} is gone",
                hint="Run the same command again: it is made anew.",
            )

    def delete(self, name: str) -> bool:
        _end_survey(self)
        there = any(found.name == name for found in self.find(name))
        with self._errors("deleting", name):
            self._client.delete_object(**self._address(name))
        return there

    def delete_empty_folder(self, name: str) -> None:
        """Buckets have no folders."""

    def local(self, name: str, folder: Path) -> Path:
        path = folder / PurePosixPath(name).name
        self._download(name, lambda body, _: _save(body, path))
        return path

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock by an object of that name.

        A server that ignores conditions on uploads keeps nobody out.
        """
        mine = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}".encode()
        self._take_lock(name, mine)
        try:
            yield
        finally:
            # At worst it goes stale.
            with suppress(StorageError):
                self._free_lock(name, mine)

    def probe(self) -> bool:
        """Write, list, read and delete an object; False if the server ignores conditions."""
        name = f".probe-{uuid.uuid4().hex}"
        self._put(name, b"probe")
        try:
            content = self.read(name)
            if content is None or not any(self.find(name)):
                raise StorageError(
                    f"{self.location / name} was written and is not there",
                    hint="Use an object store that shows at once what was written.",
                )
            return not self._put_if(name, b"again", None)
        finally:
            self.delete(name)

    def _read(self, name: str) -> Content | None:
        with suppress(ObjectMissing):
            return self._download(name, lambda body, etag: Content(body.read(), etag))
        return None

    def _listed(self, prefix: str) -> list[FoundFile]:
        with self._errors("listing", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix)
            )
            told = [require(page, "IsTruncated") for page in pages]
        own_prefix = self._key("")
        return [_found(item, own_prefix) for page in told for item in page.get("Contents", ())]

    def _put(self, name: str, body: bytes | BinaryIO, **conditions: str) -> None:
        _end_survey(self)
        with self._errors("writing", name):
            address = self._address(name)
            answer = self._client.put_object(**address, **_headers(name), Body=body, **conditions)
            require(answer, "ETag")

    def _put_if(self, name: str, data: bytes, seen: Content | None) -> bool:
        """Upload unless somebody else has been there since; False if so."""
        condition = {"IfMatch": seen.version} if seen else {"IfNoneMatch": "*"}
        try:
            self._put(name, data, **condition)
        except ObjectOption:
            # A server that cannot tell: leases keep writers apart, as on a disk.
            self._put(name, data)
        except (ObjectChanged, ObjectMissing):
            # Or the answer to our own first try got lost.
            found = self.read(name)
            return found is not None and found.data == data
        return True

    def _take_lock(self, name: str, mine: bytes) -> None:
        seen: Content | None = None
        began = since = time.monotonic()
        while not self._put_if(name, mine, None):
            holder, now = self.read(name), time.monotonic()
            if holder != seen:
                seen, since = holder, now
            elif seen and now - since > STALE_LOCK_SECONDS and self._put_if(name, mine, seen):
                return
            if now - began > LOCK_PATIENCE_SECONDS:
                raise InfrastructureError(
                    f"other processes hold {self.location / name} for minutes",
                    hint="End the vidgen process that hangs, or delete that object.",
                )
            time.sleep(random.uniform(0.05, 0.2))

    def _free_lock(self, name: str, mine: bytes) -> None:
        holder = self.read(name)
        if holder and holder.data == mine:
            self.delete(name)

    def _download(self, name: str, take: Callable[[Readable, str], _T]) -> _T:
        """Hand the body and the ETag of an object to `take`, again if the connection breaks off."""

        def attempt() -> _T:
            with self._errors("reading", name):
                answer = self._client.get_object(**self._address(name))
                with closing(answer["Body"]) as body:
                    return take(body, answer["ETag"])

        return DOWNLOAD_RETRIES.call(attempt, ObjectLost)

    def _errors(self, doing: str, name: str) -> AbstractContextManager[None]:
        return object_errors(doing, self.location / name, self.server)

    def _address(self, name: str) -> dict[str, str]:
        return {"Bucket": self.location.bucket, "Key": self._key(name)}

    def _key(self, name: str) -> str:
        return (self.location / name).key

    @property
    def _client(self) -> Any:
        with self._connecting:
            # Not shared with a forked child: both would read answers from one socket.
            if self._connected[0] != os.getpid():
                self._connected = os.getpid(), _connect(self._region, self._quick)
            return self._connected[1]


def _survey_of(files: BucketFiles, name: str) -> Survey | None:
    """Return the survey under way that tells about a name or prefix."""
    owner, survey = _SURVEY.get()
    return survey if survey and owner is files and survey.covers(name) else None


def _end_survey(files: BucketFiles) -> None:
    owner, survey = _SURVEY.get()
    if survey and owner is files:
        survey.over = True


def _connect(region: str | None, quick: bool) -> Any:
    return Session().create_client(
        "s3",
        region_name=region,
        config=Config(
            connect_timeout=QUICK_SECONDS if quick else CONNECT_SECONDS,
            read_timeout=QUICK_SECONDS if quick else ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1 if quick else ATTEMPTS},
            max_pool_connections=BucketFiles.calls_at_once,
            # Uploads are signed with their digest anyway, and not every server knows more.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _found(item: Mapping[str, Any], own_prefix: str) -> FoundFile:
    """Return an object that a listing names; `own_prefix` is that of all files."""
    modified_at, tag = item["LastModified"].timestamp(), item.get("ETag")
    version = f"{tag}-{item['Size']}-{modified_at}" if tag else ""
    return FoundFile(item["Key"].removeprefix(own_prefix), item["Size"], modified_at, version)


def _save(body: Readable, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(body, file)


def _headers(name: str) -> dict[str, str]:
    path = PurePosixPath(name)
    media = path.suffix in _TYPES and path.suffix != ".json" and not _is_hidden(name, "")
    return {
        "ContentType": _TYPES.get(path.suffix, "application/octet-stream"),
        "CacheControl": _FOR_EVER if media else "no-cache",
    }


def _is_hidden(name: str, prefix: str) -> bool:
    """Whether a part of the name that begins after the prefix has a dot in front."""
    rest = name.removeprefix(prefix)
    return "/." in (rest if prefix and not prefix.endswith("/") else f"/{rest}")
