"""Files in a bucket of an S3-compatible object store.

S3 and compatible servers make uploads atomic and visible to all clients at once.
botocore reads address and credentials from the usual AWS_* variables and files.
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
from spritz_cli.storage.files.base import Content, FoundFile, in_parallel
from spritz_cli.storage.files.disk import FileRecord, Readable, disk_errors, measure_pieces
from spritz_cli.storage.files.scratch import ScratchFolders
from spritz_cli.storage.files.snapshot import Snapshot

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
        "publishing films to a bucket needs the package botocore",
        hint="Install spritz-vidgen with its extra `s3`, or run: pip install botocore",
    ) from exc

_T = TypeVar("_T")

#: Seconds. A request to a server that hangs fails after ATTEMPTS times as long.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
ATTEMPTS = 3

#: For connections that break in the middle of a download.
DOWNLOAD_RETRIES = Retries((0.0,) * (ATTEMPTS - 1))

#: Seconds for the only attempt of a process with a user waiting.
QUICK_SECONDS = 3.0

#: Seconds after which an unchanged lock counts as left behind by a dead process.
STALE_LOCK_SECONDS = 60.0
LOCK_PATIENCE_SECONDS = 300.0

_TYPES = {
    ".mp4": "video/mp4",
    ".webp": "image/webp",
    ".vtt": "text/vtt",
    ".json": "application/json",
}
#: The snapshot that this thread, and the threads that work for it, read from.
_SNAPSHOT: ContextVar[tuple[BucketFiles | None, Snapshot | None]]
_SNAPSHOT = ContextVar("_SNAPSHOT", default=(None, None))

_FOR_EVER = "public, max-age=31536000, immutable"


class BucketFiles:
    """Stores files below a prefix of a bucket; `scratch` is a folder of this machine.

    `quick` gives up within seconds, for callers with a user waiting.
    """

    parallel_calls = 16

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
        """Host and port of the object store."""
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
                hint="Run the same command again: it continues from what is stored.",
            )

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def read(self, name: str) -> Content | None:
        snapshot = _snapshot_of(self, name)
        if snapshot is None:
            return self._read(name)
        if not snapshot.knows(name):
            snapshot.note(name, self._read(name))
        return snapshot.recall(name)

    def measure(self, name: str) -> FileRecord | None:
        with suppress(ObjectMissing):
            return self._download(name, lambda body, _: measure_pieces(body))
        return None

    def find(self, prefix: str) -> Iterator[FoundFile]:
        snapshot = _snapshot_of(self, prefix)
        files = snapshot.find(prefix) if snapshot else self._listed(prefix)
        return (file for file in files if not _is_hidden(file.name, prefix))

    @contextmanager
    def snapshot(self, prefixes: Sequence[str]) -> Iterator[None]:
        snapshot = Snapshot(prefixes, in_parallel(self, self._listed, prefixes))
        before = _SNAPSHOT.set((self, snapshot))
        try:
            yield
        finally:
            _SNAPSHOT.reset(before)

    def touch(self, name: str) -> None:
        # Upload the same bytes: not every server updates the time of an object that is copied
        # onto itself. The condition keeps an object deleted that a cleanup has just deleted.
        seen = self.read(name)
        if seen is None or not self._put_if(name, seen.data, seen):
            raise StorageError(
                f"{self.location / name} is gone",
                hint="Run the same command again: it makes the film again.",
            )

    def delete(self, name: str) -> bool:
        _end_snapshot(self)
        exists = any(file.name == name for file in self.find(name))
        with self._errors("deleting", name):
            self._client.delete_object(**self._address(name))
        return exists

    def delete_empty_folder(self, name: str) -> None:
        """Do nothing: buckets have no folders."""

    def local(self, name: str, folder: Path) -> Path:
        path = folder / PurePosixPath(name).name
        self._download(name, lambda body, _: _save(body, path))
        return path

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock: an object of that name.

        It excludes nobody on servers that ignore conditions on uploads.
        """
        token = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}".encode()
        self._take_lock(name, token)
        try:
            yield
        finally:
            # A lock that stays becomes stale.
            with suppress(StorageError):
                self._free_lock(name, token)

    def probe(self) -> bool:
        """Write, list, read and delete an object; False if the server ignores conditions."""
        name = f".probe-{uuid.uuid4().hex}"
        self._put(name, b"probe")
        try:
            content = self.read(name)
            if content is None or not any(self.find(name)):
                raise StorageError(
                    f"{self.location / name} was written but cannot be found",
                    hint="Use an object store that lists objects as soon as they are written.",
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
            complete = [require(page, "IsTruncated") for page in pages]
        own_prefix = self._key("")
        return [_found(item, own_prefix) for page in complete for item in page.get("Contents", ())]

    def _put(self, name: str, body: bytes | BinaryIO, **conditions: str) -> None:
        _end_snapshot(self)
        with self._errors("writing", name):
            address = self._address(name)
            answer = self._client.put_object(**address, **_headers(name), Body=body, **conditions)
            require(answer, "ETag")

    def _put_if(self, name: str, data: bytes, seen: Content | None) -> bool:
        """Upload unless the object is no longer as `seen`; return whether it was uploaded."""
        condition = {"IfMatch": seen.version} if seen else {"IfNoneMatch": "*"}
        try:
            self._put(name, data, **condition)
        except ObjectOption:
            # The server knows no conditions: leases keep writers apart, as on a disk.
            self._put(name, data)
        except (ObjectChanged, ObjectMissing):
            # Our own first attempt may have succeeded, with its answer lost.
            stored = self.read(name)
            return stored is not None and stored.data == data
        return True

    def _take_lock(self, name: str, token: bytes) -> None:
        seen: Content | None = None
        began = since = time.monotonic()
        while not self._put_if(name, token, None):
            holder, now = self.read(name), time.monotonic()
            if holder != seen:
                seen, since = holder, now
            elif seen and now - since > STALE_LOCK_SECONDS and self._put_if(name, token, seen):
                return
            if now - began > LOCK_PATIENCE_SECONDS:
                raise InfrastructureError(
                    f"other processes have held {self.location / name} for minutes",
                    hint="End the vidgen process that hangs, or delete that object.",
                )
            time.sleep(random.uniform(0.05, 0.2))

    def _free_lock(self, name: str, token: bytes) -> None:
        holder = self.read(name)
        if holder and holder.data == token:
            self.delete(name)

    def _download(self, name: str, take: Callable[[Readable, str], _T]) -> _T:
        """Pass body and ETag of an object to `take`, again if the connection breaks."""

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
            # A forked child needs its own: both would read answers from one socket.
            if self._connected[0] != os.getpid():
                self._connected = os.getpid(), _connect(self._region, self._quick)
            return self._connected[1]


def _snapshot_of(files: BucketFiles, name: str) -> Snapshot | None:
    """Return the current snapshot if it covers a name or prefix."""
    owner, snapshot = _SNAPSHOT.get()
    return snapshot if snapshot and owner is files and snapshot.covers(name) else None


def _end_snapshot(files: BucketFiles) -> None:
    owner, snapshot = _SNAPSHOT.get()
    if snapshot and owner is files:
        snapshot.over = True


def _connect(region: str | None, quick: bool) -> Any:
    return Session().create_client(
        "s3",
        region_name=region,
        config=Config(
            connect_timeout=QUICK_SECONDS if quick else CONNECT_SECONDS,
            read_timeout=QUICK_SECONDS if quick else ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1 if quick else ATTEMPTS},
            max_pool_connections=BucketFiles.parallel_calls,
            # Signatures cover the digest of an upload. Not every server knows other checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _found(item: Mapping[str, Any], own_prefix: str) -> FoundFile:
    """Return an object of a listing; `own_prefix` is the prefix of all files."""
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
    """Whether a folder or file below the prefix starts with a dot."""
    rest = name.removeprefix(prefix)
    return "/." in (rest if prefix and not prefix.endswith("/") else f"/{rest}")
