"""Where films may be kept: a folder of this machine, or a bucket of an object store."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from spritz_cli.errors import UsageError

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_BUCKET = r"(?i)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
_PREFIX = r"(?a)[\w!()*'.=+@-]+(/[\w!()*'.=+@-]+)*"


class ObjectPath(NamedTuple):
    """An object, or the prefix of many; written `s3://bucket/key`."""

    bucket: str
    key: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    def with_suffix(self, suffix: str) -> ObjectPath:
        return self._replace(key=self.key.removesuffix(self.suffix) + suffix)

    def __truediv__(self, name: str) -> ObjectPath:
        return self._replace(key=f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")


Location = Path | ObjectPath


def parse_location(text: str | Path, cwd: Path) -> Location:
    """Read `s3://bucket/prefix`, or a path that counts from `cwd`."""
    if not re.match(_SCHEME, str(text)):
        return cwd / Path(text).expanduser()
    scheme, _, rest = str(text).partition("://")
    bucket, _, key = rest.rstrip("/").partition("/")
    if scheme == "s3" and re.fullmatch(_BUCKET, bucket) and (not key or _is_prefix(key)):
        return ObjectPath(bucket, key)
    raise UsageError(
        f"films cannot be published to {str(text)!r}",
        hint="Set VIDGEN_VIDEOS_DIR to a folder, or to s3://BUCKET or s3://BUCKET/PREFIX.",
    )


def _is_prefix(key: str) -> bool:
    return bool(re.fullmatch(_PREFIX, key)) and not {".", ".."} & set(key.split("/"))
