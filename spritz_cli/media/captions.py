"""Captions as WebVTT, placed in the caption lane of the frame."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spritz_cli.errors import RenderError
from spritz_cli.models import Cue

#: The lane below the horizon, so that captions never cover the drawing.
PLACE = "line:86%"

_TIMING = r"(\d\d):(\d\d)\.(\d{3}) --> (\d\d):(\d\d)\.(\d{3})(?: .*)?"


def webvtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file; `<`, `>` and `&` in texts are escaped."""
    blocks = (
        f"{_clock(cue.start)} --> {_clock(cue.end)} {PLACE}\n{_escaped(cue.text)}" for cue in cues
    )
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def parse_webvtt(text: str) -> tuple[Cue, ...]:
    """Read a file that `webvtt` wrote; raises RenderError when it is none."""
    header, *blocks = text.strip().split("\n\n")
    if header != "WEBVTT":
        raise RenderError("the captions do not start with WEBVTT")
    return tuple(map(_cue, blocks))


def _cue(block: str) -> Cue:
    timing, _, text = block.partition("\n")
    match = re.fullmatch(_TIMING, timing)
    if not match or not text:
        raise RenderError(f"not a caption: {block!r}")
    m0, s0, f0, m1, s1, f1 = map(int, match.groups())
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return Cue(m0 * 60 + s0 + f0 / 1000, m1 * 60 + s1 + f1 / 1000, plain)


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
