"""Searches a provider's list of jobs for the job of one order.

If the job is not there, the order is sent and paid for again. So the search reports
every doubt: a list that may be incomplete, a job that may be the one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from spritz_cli.videos_api.answers import Answer, job_id, number

MAX_PAGES = 10
PAGE = 100

#: Seconds by which the server may date a job before we sent its order.
TOLERANCE = 5.0

Verdict = Literal["yes", "no", "perhaps"]


@dataclass(frozen=True)
class VideoRequest:
    """The request for one segment; `size` is "WxH" in pixels."""

    prompt: str
    model: str
    size: str
    seconds: int


class Search:
    """Reads the list page by page, newest first, and compares each job with the request.

    In the end `doubt` says why the list is not conclusive. If it is empty, `match`
    is the job, or None.
    """

    def __init__(
        self, request: VideoRequest, since: float, known: Collection[str], *, names_model: bool
    ) -> None:
        self.doubt = ""
        self._request = request
        self._since = since - TOLERANCE
        self._known = frozenset(known)
        self._names_model = names_model
        self._matches: list[dict[str, Any]] = []
        self._perhaps = 0
        self._seen: set[str] = set()
        self._pages = 0
        self._after = ""
        self._ended = False
        self._oldest = float("inf")

    @property
    def match(self) -> dict[str, Any] | None:
        return self._matches[0] if len(self._matches) == 1 else None

    def next_query(self) -> dict[str, Any] | None:
        """Return the query of the next page, or None at the end."""
        if self._ended:
            return None
        query = {"order": "desc", "limit": PAGE}
        return query | {"after": self._after} if self._after else query

    def take(self, answer: Answer) -> None:
        """Compare the jobs of one page."""
        self._pages += 1
        document = answer.document if answer.ok else None
        jobs = document.get("data") if document else None
        if document is None or not isinstance(jobs, list):
            self._ended, self.doubt = True, f"HTTP {answer.status} instead of a list"
            return
        since = self._since + _ahead(answer)
        fresh = [job for job in jobs if self._is_fresh(job)]
        for job in fresh:
            self._judge(job, since)
        self._turn_page(document, jobs, fresh, since)

    def _is_fresh(self, job: Any) -> bool:
        return not isinstance(job, dict) or job_id(job) not in self._seen

    def _judge(self, job: Any, since: float) -> None:
        name = job_id(job) if isinstance(job, dict) else None
        if name is None:
            self._perhaps += 1
            return
        self._seen.add(name)
        verdict = "no" if name in self._known else self._verdict(job, since)
        if verdict == "yes":
            self._matches.append(job)
        elif verdict == "perhaps":
            self._perhaps += 1

    def _verdict(self, job: Mapping[str, Any], since: float) -> Verdict:
        created = _epoch(job.get("created_at"))
        if created is not None and created < since:
            return "no"
        prompt = self._of_prompt(job.get("prompt"))
        if prompt != "yes" or created is None:
            return "no" if prompt == "no" else "perhaps"
        # Some servers report another model, size or length than was requested.
        return "yes" if all(self._details(job)) else "perhaps"

    def _of_prompt(self, echoed: Any) -> Verdict:
        wanted = _words(self._request.prompt)
        if not isinstance(echoed, str) or not echoed.strip():
            return "perhaps"
        words = _words(echoed)
        if words == wanted:
            return "yes"
        # Some servers report only the beginning of the prompt, or add words of their own.
        return "perhaps" if wanted.startswith(words.rstrip(".…")) or wanted in words else "no"

    def _details(self, job: Mapping[str, Any]) -> tuple[bool, ...]:
        model, size, seconds = (job.get(name) for name in ("model", "size", "seconds"))
        return (
            not self._names_model or not model or _same_model(str(model), self._request.model),
            not size or str(size).lower() == self._request.size.lower(),
            not seconds or number(seconds) == self._request.seconds,
        )

    def _turn_page(
        self, document: Mapping[str, Any], jobs: list[Any], fresh: list[Any], since: float
    ) -> None:
        times = [_epoch(job.get("created_at")) for job in jobs if isinstance(job, dict)]
        newest_first = self._newest_first(times)
        last = document.get("last_id") or (job_id(jobs[-1]) if fresh and times else None)
        complete = (
            not jobs or document.get("has_more") is False or (newest_first and self._oldest < since)
        )
        self._after = last if isinstance(last, str) else ""
        if complete:
            self._end("")
        elif not fresh or not self._after:
            self._end("it may have more pages than it shows")
        elif self._pages == MAX_PAGES:
            self._end(f"it is longer than {MAX_PAGES} pages")

    def _newest_first(self, times: list[float | None]) -> bool:
        """Whether all jobs so far are sorted, so that the following ones are older."""
        for moment in times:
            if moment is None or moment > self._oldest:
                self._oldest = float("-inf")
                return False
            self._oldest = moment
        return bool(times) and self._oldest > float("-inf")

    def _end(self, gap: str) -> None:
        self._ended = True
        if len(self._matches) > 1:
            self.doubt = f"{len(self._matches)} jobs match"
        elif not self._matches:
            self.doubt = gap or (self._perhaps and f"{self._perhaps} of its jobs may match") or ""


def _ahead(answer: Answer) -> float:
    """Return the seconds by which the clock of the server is ahead, 0 if hardly."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
        seconds = date.timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return seconds if abs(seconds) > 2 else 0.0


def _epoch(value: Any) -> float | None:
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return None
    return seconds / 1000 if seconds > 1e11 else seconds


def _same_model(echoed: str, wanted: str) -> bool:
    return echoed == wanted or echoed.endswith(f"/{wanted}") or wanted.endswith(f"/{echoed}")


def _words(text: str) -> str:
    return " ".join(text.split())
