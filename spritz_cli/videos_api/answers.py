"""Interprets answers of a server: the state of a job, or an error.

The server is not trusted: fields may be missing, of another type, or hostile.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal

from spritz_cli.errors import ProviderError, ProviderKind
from spritz_cli.models import MicroUSD

JobStatus = Literal["pending", "done", "failed"]

#: The status words of servers. Any other word counts as "pending".
STATUSES: Mapping[str, JobStatus] = {
    **dict.fromkeys(
        (
            "queued",
            "in_progress",
            "processing",
            "pending",
            "preprocessing",
            "running",
            "submitted",
        ),
        "pending",
    ),
    **dict.fromkeys(("completed", "succeeded", "done"), "done"),
    **dict.fromkeys(
        ("failed", "error", "cancelled", "canceled", "expired", "deleted", "rejected"), "failed"
    ),
}

LONGEST_MESSAGE = 300
MAX_URLS = 4
MAX_USD = 100_000

_MODERATION = re.compile(
    r"moderat|content[ _-]?(polic|filter)|safety|\brai\b|raimedia|responsible ai", re.IGNORECASE
)
_BLOCKED = re.compile(r"\bblocked\b|_blocked\b", re.IGNORECASE)
_QUOTA = re.compile(
    r"insufficient[ _](quota|funds|credit|balance)|billing|payment[ _]required"
    r"|exceeded your current quota|out of credit|budget.{0,20}exceeded",
    re.IGNORECASE,
)
_AUTH = re.compile(
    r"(invalid|incorrect|missing|no)[ _](api[ _]?key|connected db)|authentication", re.IGNORECASE
)
#: Messages about a request without a body.
_BODILESS = re.compile(
    r"(missing|required|must provide)\b.{0,60}\b(prompt|model|body)\b"
    r"|\b(prompt|model|body)\b.{0,60}\b(missing|required)\b"
    r"|content[ -]?type|empty (request )?body|could not parse",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"\b(bearer\s+|sk-|key=)[^\s\"',;&]{6,}", re.IGNORECASE)

_HINTS: Mapping[ProviderKind, str] = {
    "moderation": "Reword prompt_template or visual_metaphor of this template.",
    "auth": "Check VIDGEN_API_KEY, and that it belongs to this provider.",
    "quota": "Top up or raise the limits of the provider's account.",
    "rate": "Wait, then run again; a lower max_in_flight in providers.yaml helps.",
    "invalid": "Check model, size and seconds of the profile in providers.yaml.",
    "server": "Run again later; the provider's status page may say more.",
    "lost": "The provider does not know the job (any more): look at its dashboard.",
    "unreachable": "Check VIDGEN_BASE_URL and that the server runs.",
}


@dataclass(frozen=True)
class RemoteJob:
    """A job as the provider reported it last; `urls` of its footage, if it named any."""

    id: str
    status: JobStatus
    progress: float | None = None
    error: ProviderError | None = None
    urls: tuple[str, ...] = ()
    cost_micros: MicroUSD | None = None


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `document` is its JSON object, None if the body is not one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @cached_property
    def document(self) -> dict[str, Any] | None:
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def retry_after(self) -> float | None:
        """The seconds that the server asks to wait, from any of the usual headers."""
        for name in ("retry-after", "llm_provider-retry-after"):
            seconds = _delay(self.headers.get(name, ""))
            if seconds is not None:
                return seconds
        milliseconds = number(self.headers.get("retry-after-ms"))
        return None if milliseconds is None else max(0.0, milliseconds / 1000)


class Scrubber:
    """Makes texts of a server fit for messages: one short line without secrets."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret if secret and len(secret) >= 4 else None

    def __call__(self, text: str) -> str:
        if self._secret:
            text = text.replace(self._secret, "[key]")
        text = _TOKEN.sub("[key]", text)
        line = " ".join(text.split())
        shown = "".join(char for char in line if char.isprintable())
        return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[: LONGEST_MESSAGE - 1]}…"


def job_id(document: Mapping[str, Any]) -> str | None:
    """Return the id of a job, which some resellers call task_id."""
    for name in ("id", "task_id"):
        value = document.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        # An id of dots would leave the path that the id becomes part of.
        if isinstance(value, str) and value.strip(" .") and len(value) <= 2_000:
            return value
    return None


def job_from(document: Mapping[str, Any], known_id: str, scrub: Scrubber) -> RemoteJob:
    """Return a job, under the id that it was created with."""
    status = STATUSES.get(status_word(document), "pending")
    return RemoteJob(
        id=known_id,
        status=status,
        progress=1.0 if status == "done" else _progress(document.get("progress")),
        error=_job_error(document, scrub) if status == "failed" else None,
        urls=tuple(dict.fromkeys(_urls(document)))[:MAX_URLS],
        cost_micros=_cost_micros(document),
    )


def status_word(document: Mapping[str, Any]) -> str:
    """Return the server's word for the status in lower case, or an empty string."""
    value = document.get("status")
    return value.strip().lower() if isinstance(value, str) else ""


def is_ended_job(document: Mapping[str, Any] | None, known_id: str = "") -> bool:
    """Whether a document is a finished or failed job, whatever its HTTP status."""
    if not document or (document.get("object") != "video" and job_id(document) != known_id):
        return False
    return STATUSES.get(status_word(document)) in ("done", "failed")


def refusal(answer: Answer, what: str, scrub: Scrubber) -> ProviderError:
    """Return the error of an answer without a job."""
    code, message = _error_of(answer.document)
    reason = scrub(message or _text_of(answer))
    # Gateways repeat the status of the upstream server as a code.
    status = int(code) if code.isdecimal() and code[:1] == "4" and len(code) == 3 else answer.status
    kind = kind_of(status, f"{code} {message}")
    shown = scrub(
        f"{what}: HTTP {answer.status}{f' {code}' if code else ''}: {reason or 'no reason'}"
    )
    return ProviderError(shown, kind=kind, hint=_HINTS[kind], retry_after=answer.retry_after)


def is_of_a_resent_order(answer: Answer) -> bool:
    """Whether a refusal may refer to a second request that LiteLLM made of ours.

    When its connection to the provider breaks after an order, LiteLLM sends the
    order again, but a form without its body. The provider refuses that one, and may
    have accepted the first.
    """
    if not any(name.startswith("x-litellm-") for name in answer.headers):
        return False
    _, message = _error_of(answer.document)
    upstream, _, _ = message.partition("LiteLLM: model group")
    return bool(_BODILESS.search(upstream))


def failure(message: str, kind: ProviderKind) -> ProviderError:
    """Return an error about the provider, with the hint of its kind."""
    return ProviderError(message, kind=kind, hint=_HINTS[kind])


def kind_of(status: int, text: str) -> ProviderKind:
    """Classify an error by HTTP status (200: a failed job) and by the text of the server."""
    if status == 401:
        return "auth"
    if _MODERATION.search(text) or (status in (200, 400, 422) and _BLOCKED.search(text)):
        return "moderation"
    if status == 402 or _QUOTA.search(text):
        return "quota"
    if status == 403 or (status != 200 and _AUTH.search(text)):
        return "auth"
    if status in (429, 503):
        return "rate"
    return "server" if status == 200 or status >= 500 else "invalid"


def number(value: Any) -> float | None:
    """Return a finite number that is given as a number or as text, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def _delay(text: str) -> float | None:
    seconds = number(text)
    if seconds is None and text:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _progress(value: Any) -> float | None:
    percent = number(value)
    return None if percent is None else min(max(percent / 100, 0.0), 1.0)


def _job_error(document: Mapping[str, Any], scrub: Scrubber) -> ProviderError:
    code, message = _error_of(document)
    word = status_word(document)
    kind = kind_of(200, f"{code} {message}")
    reason = scrub(": ".join(part for part in (code, message) if part) or f"status {word}")
    return ProviderError(f"the job failed: {reason}", kind=kind, hint=_HINTS[kind])


def _error_of(document: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return code and message as text, from any of the fields that servers use."""
    if document is None:
        return "", ""
    error = document.get("error")
    if isinstance(error, str):
        return _first(document, "code"), error
    if isinstance(error, dict):
        return _first(error, "code", "type"), _first(error, "message", "detail")
    return _first(document, "code"), _first(document, "message", "detail")


def _first(source: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = source.get(name)
        if value and not isinstance(value, bool):
            return value if isinstance(value, str) else json.dumps(value, default=str)
    return ""


def _text_of(answer: Answer) -> str:
    return re.sub(r"<[^>]*>", " ", answer.body[:4_000].decode("utf-8", "replace"))


def _urls(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the URLs of the footage, from any of the fields that servers use."""
    for name in ("url", "urls", "unsigned_urls", "video_url", "video", "file", "output", "outputs"):
        yield from _urls_in(document.get(name))


def _urls_in(value: Any) -> Iterator[str]:
    match value:
        case str() if re.match(r"https?://|/(?!/)", value) and value.isprintable():
            yield value
        case list():
            for item in value[:MAX_URLS]:
                if not isinstance(item, list):
                    yield from _urls_in(item)
        case dict():
            for name in ("url", "video_url"):
                if isinstance(value.get(name), str):
                    yield from _urls_in(value[name])


def _cost_micros(document: Mapping[str, Any]) -> MicroUSD | None:
    usage = document.get("usage")
    reported = usage.get("cost") if isinstance(usage, dict) else None
    value = document.get("cost") if reported is None else reported
    usd = number(value)
    if usd is None or not 0 <= usd <= MAX_USD:
        return None
    try:
        amount = Decimal(str(value)) * 1_000_000
        return MicroUSD(int(amount.to_integral_value(ROUND_CEILING)))
    except InvalidOperation:
        return None
