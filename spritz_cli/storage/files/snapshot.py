"""A snapshot of a bucket, for reports about many of its files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from spritz_cli.storage.files.base import Content, FoundFile


class Snapshot:
    """The listings of some prefixes, and the contents read since."""

    def __init__(self, prefixes: Sequence[str], listings: Iterable[Iterable[FoundFile]]) -> None:
        files = {file.name: file for listing in listings for file in listing}
        self._prefixes = tuple(prefixes)
        self._files = sorted(files.values(), key=_name)
        self._contents: dict[str, Content | None] = {}
        self.over = False

    def covers(self, name: str) -> bool:
        """Whether everything with this prefix was listed, and nothing was written since."""
        return not self.over and name.startswith(self._prefixes)

    def find(self, prefix: str) -> Iterator[FoundFile]:
        """Yield the files with this prefix, sorted by name."""
        start = bisect_left(self._files, prefix, key=_name)
        for index in range(start, len(self._files)):
            if not self._files[index].name.startswith(prefix):
                return
            yield self._files[index]

    def knows(self, name: str) -> bool:
        """Whether a file was read before, or does not exist."""
        return name in self._contents or next(self.find(name), None) is None

    def recall(self, name: str) -> Content | None:
        return self._contents.get(name)

    def note(self, name: str, content: Content | None) -> None:
        self._contents[name] = content


def _name(file: FoundFile) -> str:
    return file.name
