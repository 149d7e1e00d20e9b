"""What a value without quotes means, where it is doubtful, and where a “#” cuts it off."""

from __future__ import annotations

import re
from typing import Any

QUOTES = "Put quotes around it if it is text; write numbers as 1234.5, switches as true or false."
CUT = "the text ends at a “#”: YAML takes the rest for a comment"
CUT_HINT = "Put quotes around the whole text; if it is a comment, write “# ” with a blank after it."

#: A number that is longer cannot be kept exactly.
LONGEST_NUMBER = 17

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")

#: What is a number, date or switch in one version of YAML and a text in another.
_DOUBTFUL = re.compile(
    r"yes|no|on|off|=|<<"
    r"|[-+]?\.?[0-9][0-9_:.]*(e[-+]?[0-9]+)?|0[xo][0-9a-f_]+|[-+]?\.(inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*",
    re.IGNORECASE,
)

#: A comment as hardly anybody writes one: “#1 first”, or an empty one.
_CUTS = re.compile(r"\s+(#+[^\s#]|#\s*$)")


def plain_value(text: str, unquoted: re.Pattern[str] | None) -> tuple[Any, str]:
    """Return the value of an unquoted scalar, and what is doubtful about it.

    What `unquoted` matches is text without a doubt.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()], ""
    is_whole = _WHOLE.fullmatch(text)
    if is_whole or _DECIMAL.fullmatch(text):
        if len(text) > LONGEST_NUMBER:
            return text, f"the number {text} is too long"
        return int(text) if is_whole else float(text), ""
    if _DOUBTFUL.fullmatch(text) and not (unquoted and unquoted.fullmatch(text)):
        return text, f"it is unclear what {text} means: a number, a switch or a text"
    return text, ""


def begins_with_cut(rest: str) -> bool:
    """Tell whether what follows a text looks like more of that text, but is a comment."""
    return bool(_CUTS.match(rest))


def holds_cut(line: str) -> bool:
    """Tell whether such a comment may stand anywhere in a line."""
    return "#" in line and bool(_CUTS.search(line))
