"""The files that a scene is made of, found without Jinja2.

Every plan needs them, and no plan draws. Importing Jinja2 and parsing all scenes would take
longer than the rest of a plan.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from spritz_cli.errors import UsageError

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_REFERENCE = re.compile(r"\{%[-+]?\s*(?:extends|from|import|include)\b(.*?)%\}", re.DOTALL)
_NAME = re.compile(r"""(["'])(.*?)\1""")


class SceneSources:
    """The sources of the scenes of one folder; every file is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, _SourceFile] = {}

    def digests(self, scene: str) -> dict[str, str]:
        """Return the SHA-256 of the scene file and of every file it includes, by name.

        A name that is computed while the scene is drawn is not found. Raises UsageError for
        a file that does not exist.
        """
        names: set[str] = set()
        waiting = [scene]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += self._file(name).references
        return {name: self._file(name).digest for name in sorted(names)}

    def _file(self, name: str) -> _SourceFile:
        if name not in self._files:
            self._files[name] = _SourceFile(_read(self._folder, name))
        return self._files[name]


class _SourceFile:
    def __init__(self, source: str) -> None:
        self.digest = hashlib.sha256(source.encode()).hexdigest()
        tags = _REFERENCE.findall(_COMMENT.sub("", source))
        self.references = [name for tag in tags for _, name in _NAME.findall(tag)]


def _read(folder: Path, name: str) -> str:
    parts = name.split("/")
    try:
        if ".." in parts:
            raise FileNotFoundError
        return folder.joinpath(*parts).read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
        raise UsageError(
            f"the scene file {name} does not exist", hint="It belongs in svg_templates/."
        ) from exc
