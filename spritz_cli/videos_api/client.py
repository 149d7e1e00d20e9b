"""Orders footage, waits for it and downloads it, without ever paying twice for the same."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from spritz_cli.errors import OutcomeUnknown, ProviderError, StillRunning
from spritz_cli.videos_api.answers import (
    STATUSES,
    Answer,
    RemoteJob,
    Scrubber,
    failure,
    is_ended_job,
    is_of_a_resent_order,
    job_from,
    job_id,
    number,
    refusal,
    status_word,
)
from spritz_cli.videos_api.download import Downloader
from spritz_cli.videos_api.profile import Profile, checked_base_url
from spritz_cli.videos_api.search import Search, VideoRequest
from spritz_cli.videos_api.wire import NoAnswer, Wire

__all__ = ["RemoteJob", "VideoRequest", "VideosAPI"]

logger = logging.getLogger("spritz_cli")

POST_SECONDS = 60.0
POLL_SECONDS = 30.0

#: Limits for giving up: failed polls in a row, and seconds in which the server does not know
#: the job.
MAX_FAILURES = 8
MISSING_SECONDS = 30.0
MAX_RETRY_AFTER = 120.0

#: Statuses after which the server may still have accepted the order.
_AMBIGUOUS = (303, 408, 409, 499)

_HELD = "Its price counts as spent unless the provider's list of jobs shows otherwise."


class VideosAPI:
    """A client of one provider. Tests replace `sleep`, `clock` and `jitter` (0–1)."""

    def __init__(
        self,
        profile: Profile,
        api_key: str | None,
        *,
        base_url: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._profile = profile
        self._base_url = checked_base_url(base_url or profile.base_url)
        self._host = urlsplit(self._base_url).netloc
        self._scrub = Scrubber(api_key)
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._wire = Wire(profile, api_key, self._base_url)
        self._downloads = Downloader(
            self._base_url, self._wire.auth_headers, self._scrub, self._sleep
        )
        self._unknown_words: set[str] = set()

    def submit(self, request: VideoRequest, *, idempotency_key: str) -> RemoteJob:
        """Order one segment with exactly one POST.

        Raises ProviderError if it was certainly not accepted (nothing is charged), and
        OutcomeUnknown if it may have been. Returns also a job that failed at once.
        """
        headers = {**self._profile.extra_headers, "Idempotency-Key": idempotency_key}
        try:
            answer = self._wire.post(
                "/videos", self._fields(request), headers, timeout=POST_SECONDS
            )
        except NoAnswer as exc:
            raise self._unanswered(exc) from exc
        return self._accepted(answer)

    def find(
        self, request: VideoRequest, *, since: float, known: Collection[str]
    ) -> RemoteJob | None:
        """Search the list of jobs for an order whose POST was not answered.

        `since` is the time of the POST in epoch seconds, `known` the job ids of
        other orders. None means that the list is complete and does not contain the
        job. Raises OutcomeUnknown if the list is not conclusive.
        """
        if not self._profile.lists:
            raise self._undecided("it does not list all jobs")
        search = Search(request, since, known, names_model=self._profile.send_model)
        try:
            while (query := search.next_query()) is not None:
                search.take(self._wire.get("/videos", query, timeout=POLL_SECONDS))
        except NoAnswer as exc:
            raise self._undecided(exc.reason) from exc
        if search.doubt:
            raise self._undecided(search.doubt)
        match = search.match
        return job_from(match, job_id(match) or "", self._scrub) if match else None

    def wait(
        self, job_id: str, *, seconds_left: float, on_progress: Callable[[float], None]
    ) -> RemoteJob:
        """Poll a job until it is done or failed; `on_progress` (0–1) may raise to stop it.

        Raises StillRunning when the time is up, and ProviderError if the job cannot
        be polled any more.
        """
        deadline = self._clock() + seconds_left
        watch = _Watch(self._jitter)
        progress = 0.0
        while True:
            job = self._poll(job_id, watch)
            if job and job.progress is not None:
                progress = job.progress
            on_progress(progress)
            if job and job.status != "pending":
                return job
            left = deadline - self._clock()
            if left <= 0:
                raise StillRunning(
                    f"{self._host}: the job still runs after the deadline",
                    kind="lost",
                    hint="Run again: vidgen waits for this job and does not pay again.",
                )
            self._sleep(min(watch.delay, left))

    def download(self, job: RemoteJob, path: Path) -> None:
        """Write the footage of a finished job to `path`, all or nothing.

        Raises ProviderError if no source has usable footage.
        """
        content = f"{self._base_url}/videos/{quote(job.id, safe='')}/content"
        if self._profile.content == "job_url" and job.urls:
            sources = (*job.urls, content)
        else:
            sources = (content, *job.urls)
        self._downloads.fetch(sources, path)

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()
        self._downloads.close()

    def _fields(self, request: VideoRequest) -> dict[str, Any]:
        profile = self._profile
        seconds = request.seconds if profile.seconds_type == "int" else str(request.seconds)
        fields = {
            **profile.extra_fields,
            "prompt": request.prompt,
            profile.seconds_field: seconds,
        }
        if profile.send_model:
            fields["model"] = request.model
        if profile.size_field:
            fields[profile.size_field] = request.size
        return fields

    def _unanswered(self, silence: NoAnswer) -> ProviderError:
        if not silence.sent:
            return failure(f"{self._host}: no connection ({silence.reason})", "unreachable")
        return OutcomeUnknown(
            f"{self._host}: no answer to an order ({silence.reason})", kind="lost", hint=_HELD
        )

    def _accepted(self, answer: Answer) -> RemoteJob:
        document = answer.document
        new_id = job_id(document) if document else None
        if document and new_id and (answer.ok or is_ended_job(document)):
            self._note_status(document)
            return job_from(document, new_id, self._scrub)
        error = refusal(answer, f"{self._host}: an order", self._scrub)
        if _surely_refused(answer):
            raise error
        what = "no job id in the answer" if answer.ok else "it may have been accepted"
        raise OutcomeUnknown(f"{error.message} ({what})", kind="server", hint=_HELD)

    def _poll(self, job_id: str, watch: _Watch) -> RemoteJob | None:
        """Return the job, or None after a poll that failed temporarily."""
        try:
            answer = self._wire.get(f"/videos/{quote(job_id, safe='')}", timeout=POLL_SECONDS)
        except NoAnswer as exc:
            watch.failed(failure(f"{self._host}: no answer ({exc.reason})", "server"))
            return None
        document = answer.document
        if document and (answer.ok or is_ended_job(document, job_id)):
            watch.saw(answer)
            self._note_status(document)
            return job_from(document, job_id, self._scrub)
        error = refusal(answer, f"{self._host}: a job", self._scrub)
        if answer.status in (401, 403):
            raise failure(error.message, "auth")
        if answer.status in (404, 410):
            watch.missed(failure(error.message, "lost"))
        else:
            watch.failed(error)
        return None

    def _note_status(self, document: dict[str, Any]) -> None:
        word = status_word(document)
        if word in STATUSES or word in self._unknown_words or len(self._unknown_words) >= 20:
            return
        self._unknown_words.add(word)
        shown = self._scrub(word) or "(none)"
        logger.warning("%s: unknown status “%s”, treated as pending", self._host, shown)

    def _undecided(self, reason: str) -> OutcomeUnknown:
        message = f"{self._host}: the list of jobs does not show whether an order arrived: {reason}"
        return OutcomeUnknown(self._scrub(message), kind="lost", hint=_HELD)


class _Watch:
    """The pause before the next poll, and the failures in a row."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.delay = 0.0
        self._jitter = jitter
        self._pace = 5.0
        self._failures = 0
        self._missing = 0.0

    def saw(self, answer: Answer) -> None:
        """Note that the job exists. The server may set the time of the next poll."""
        self._failures, self._missing = 0, 0.0
        asked = number(answer.headers.get("openai-poll-after-ms"))
        self.delay = self._next_pace() if asked is None else min(max(asked / 1000, 1.0), 30.0)

    def missed(self, error: ProviderError) -> None:
        """Note that the server does not know the job (yet). Raises `error` after a while."""
        if self._missing >= MISSING_SECONDS:
            raise error
        self.delay = min(self._next_pace(), MISSING_SECONDS - self._missing)
        self._missing += self.delay

    def failed(self, error: ProviderError) -> None:
        """Note a failed poll. Raises a "server" error after too many in a row."""
        self._failures += 1
        if self._failures > MAX_FAILURES:
            raise failure(error.message, "server")
        self.delay = max(self._next_pace(), min(error.retry_after or 0.0, MAX_RETRY_AFTER))

    def _next_pace(self) -> float:
        pace, self._pace = self._pace, min(self._pace * 1.25, 15.0)
        # Spreads the polls of workers that started together.
        return pace * (0.9 + 0.2 * self._jitter())


def _surely_refused(answer: Answer) -> bool:
    if answer.status == 503:
        return answer.retry_after is not None
    if is_of_a_resent_order(answer):
        return False
    return 300 <= answer.status < 500 and answer.status not in _AMBIGUOUS
