"""Fingerprints: digests of what films are made from, and the differences between two."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of `document`."""
    return hashlib.sha256(_canonical(document).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line per value that differs, e.g. "parameters.payment: 2000 → 2500"."""
    return tuple(_walk("", _plain(old), _plain(new)))


def _canonical(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _plain(document: Mapping[str, Any]) -> Any:
    # Tuples become lists, as in a sidecar that was read back.
    return json.loads(json.dumps(document))


def _walk(path: str, old: Any, new: Any) -> Iterator[str]:
    if _ABSENT not in (old, new) and _canonical(old) == _canonical(new):
        # Not `old == new`: 1, 1.0 and True are equal, but their digests differ.
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _walk(_join(path, name), old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{path}[{index}]", *pair)
    else:
        yield f"{path}: {_change(old, new)}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class _Absent:
    def __repr__(self) -> str:
        return "(none)"


_ABSENT = _Absent()
_LONGEST = 60


def _change(old: Any, new: Any) -> str:
    if _is_digest(old) and _is_digest(new):
        return "changed"
    texts = _text(old), _text(new)
    start = max(0, _first_difference(*texts) - _LONGEST // 2)
    return " → ".join(_cut(text, start) for text in texts)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _text(value: Any) -> str:
    return repr(value) if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _first_difference(old: str, new: str) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(old), len(new)))


def _cut(text: str, start: int) -> str:
    """Return an excerpt of `_LONGEST` characters: from `start`, or earlier if the text ends."""
    start = max(0, min(start, len(text) - _LONGEST))
    end = start + _LONGEST
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
