"""Captions as WebVTT, placed in the caption lane of the frame."""

from __future__ import annotations

from collections.abc import Iterable

from spritz_cli.models import Cue

#: A lane below the horizon, so that captions never cover the drawing.
SETTINGS = "line:86%"


def webvtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file; `<`, `>` and `&` in texts are escaped."""
    blocks = (
        f"{_clock(cue.start)} --> {_clock(cue.end)} {SETTINGS}\n{_escaped(cue.text)}"
        for cue in cues
    )
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
