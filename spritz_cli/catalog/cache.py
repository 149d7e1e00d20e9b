"""What a file resolved to, kept in the state directory until one of its inputs changes.

The cache saves every process the imports of YAML, pydantic and Jinja2. It never makes a
command fail: what cannot be read or written is worked out again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spritz_cli.settings import PACKAGE


class Cache:
    """One JSON value in a file of the folder, named by all that the value depends on.

    `inputs` are the contents that it was made from, `modules` the modules and packages of
    spritz_cli whose source decides what becomes of them. A folder keeps one value of a kind.
    """

    def __init__(
        self, folder: Path, kind: str, inputs: Iterable[bytes], modules: Iterable[str]
    ) -> None:
        digest = hashlib.sha256(repr(sys.version_info[:3]).encode())
        for content in [*inputs, *_sources(modules)]:
            digest.update(hashlib.sha256(content).digest())
        self._kind = kind
        self._file = folder / f"{kind}-{digest.hexdigest()}.json"

    def load(self) -> Any:
        """Return the value, or None if there is no undamaged one."""
        try:
            checksum, _, payload = self._file.read_bytes().partition(b"\n")
            return json.loads(payload) if _checksum(payload) == checksum else None
        except (OSError, ValueError):
            return None

    def save(self, value: Any) -> None:
        """Keep the value in place of the one before."""
        payload = json.dumps(value, ensure_ascii=False).encode()
        folder = self._file.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(_checksum(payload) + b"\n" + payload)
            for old in folder.glob(f"{self._kind}-*.json"):
                if old != self._file:
                    old.unlink(missing_ok=True)
        except OSError:
            return

    def _write(self, content: bytes) -> None:
        handle, scratch = tempfile.mkstemp(prefix=f".{self._kind}-", dir=self._file.parent)
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(content)
            # Same directory, so readers see the old file or the whole new one.
            Path(scratch).replace(self._file)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def _sources(modules: Iterable[str]) -> Iterator[bytes]:
    for name in modules:
        path = PACKAGE.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), *sorted(path.rglob("*.py"))):
            if file.is_file():
                yield file.read_bytes()
