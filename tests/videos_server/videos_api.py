"""A video server for tests. It speaks the OpenAI Videos API, charges, and misbehaves on demand.

    with FakeVideosAPI("rate_limited, litellm_wrapped_errors") as api:
        ...  # point a client at api.base_url, then look at api.posts and api.charged_usd

`python -m tests.videos_server --help` runs one as a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.videos_server.footage import footage
from tests.videos_server.ledger import Job, Ledger, Order
from tests.videos_server.quirks import QUIRKS, Document, Site, parse_quirks, signature
from tests.videos_server.wire import Call, Listener, Reply, error_reply, json_reply, video_reply

__all__ = ["QUIRKS", "Call", "FakeVideosAPI", "Job"]

MAX_SECONDS = 60
MAX_PIXELS = 4096
DAY = 86_400


class FakeVideosAPI:
    """POST, GET, list, content and DELETE of /v1/videos over real HTTP on 127.0.0.1.

    Every accepted POST is a job and is charged `price_per_second` for the seconds it asks for;
    an Idempotency-Key is ignored, as real servers do. A job completes `job_seconds` after its
    creation (0: in the answer to the POST). `quirk` names deviations, see QUIRKS; those that
    refuse "the first" posts refuse `refusals` of them. With `state`, jobs and charges are kept
    in that JSON file.
    """

    def __init__(
        self,
        quirk: str = "",
        *,
        api_key: str | None = None,
        price_per_second: float | Decimal = 0.10,
        job_seconds: float = 0.3,
        refusals: int = 1,
        poll_after_ms: int | None = None,
        port: int = 0,
        state: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = Ledger(state)
        self._site = Site(self._ledger, refusals)
        self._api_key = api_key
        self._price = Decimal(str(price_per_second))
        self._job_seconds = job_seconds
        self._poll_after_ms = poll_after_ms
        self._port = port
        self._clock = clock
        self._listeners: list[Listener] = []
        self.behave(quirk)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """The base URL, such as "http://127.0.0.1:4010/v1"."""
        return self._site.base_url

    @property
    def posts(self) -> int:
        """The number of POSTs, including refused ones."""
        return self._ledger.posts

    @property
    def jobs(self) -> list[Job]:
        """Every accepted job, oldest first, including deleted ones."""
        return self._ledger.jobs

    @property
    def charged_usd(self) -> Decimal:
        """The price of all accepted jobs, whatever their result."""
        return self._ledger.charged_usd

    @property
    def requests(self) -> list[Call]:
        """Every request since the creation of this object."""
        return self._ledger.requests

    @property
    def elsewhere(self) -> list[Call]:
        """Every request to the other origin, the target of signed URLs and redirects."""
        return self._ledger.elsewhere

    @property
    def leaks(self) -> list[Call]:
        """Requests that leaked a key to the other origin."""
        return [call for call in self.elsewhere if {"authorization", "api-key"} & {*call.headers}]

    def behave(self, quirk: str) -> None:
        """Replace the deviations; "" is the API as documented."""
        self._quirks = parse_quirks(quirk, self._site)

    def start(self) -> None:
        api = Listener(self._respond, port=self._port, reads_body=self._reads_body)
        other = Listener(self._respond_elsewhere)
        self._listeners = [api, other]
        self._port = api.port
        self._site.base_url = f"{api.origin}/v1"
        self._site.elsewhere_url = other.origin

    def close(self) -> None:
        """Stop listening, and reset connections that wait for an answer."""
        while self._listeners:
            self._listeners.pop().close()

    def restart(self) -> None:
        """Stop and start at the same address, as after a crash."""
        self.close()
        self._ledger.restarted()
        self.start()

    def _reads_body(self) -> bool:
        return all(quirk.reads_body for quirk in self._quirks)

    def _respond(self, call: Call) -> Reply:
        self._ledger.receive(call)
        proceed: Callable[[], Reply] = partial(self._act, call)
        for quirk in reversed(self._quirks):
            proceed = partial(quirk.handle, call, proceed)
        reply = proceed() if self._authorised(call) else _wrong_key()
        return self._leave(call, reply)

    def _respond_elsewhere(self, call: Call) -> Reply:
        self._ledger.receive_elsewhere(call)
        job = self._find(call)
        if job is None or call.action != "file" or call.query.get("signature") != signature(job):
            return error_reply(403, "SignatureDoesNotMatch")
        return self._leave(call, self._film(job))

    def _leave(self, call: Call, reply: Reply) -> Reply:
        for quirk in self._quirks:
            reply = quirk.reply(call, reply)
        return reply

    def _authorised(self, call: Call) -> bool:
        scheme, _, text = call.headers.get("authorization", "").partition(" ")
        key = text if scheme == "Bearer" else None
        for quirk in self._quirks:
            key = quirk.key(call, key)
        return self._api_key in (None, key)

    def _act(self, call: Call) -> Reply:
        match call.action:
            case "create":
                return self._create(call)
            case "list":
                return self._list(call)
            case "":
                return error_reply(404, f"Invalid URL ({call.method} {call.path})")
        job = self._find(call)
        if job is None:
            return error_reply(404, f"Video with id '{call.job_id}' not found.")
        match call.action:
            case "show":
                return json_reply(self._shown(call, job), headers=self._pace())
            case "delete":
                return self._delete(job)
        return self._content(call, job)

    def _create(self, call: Call) -> Reply:
        order = _order(call.fields)
        if isinstance(order, Reply):
            return order
        job = self._ledger.accept(
            order,
            price=self._price,
            now=self._clock(),
            name=self._name,
            idempotency_key=call.headers.get("idempotency-key"),
        )
        return json_reply(self._shown(call, job), headers=self._pace())

    def _list(self, call: Call) -> Reply:
        limit = call.query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            return error_reply(400, "Invalid 'limit': expected a number from 1 to 100.")
        jobs = [job for job in self._ledger.jobs if self._knows(job)]
        if call.query.get("order", "desc") == "desc":
            jobs.reverse()
        if after := call.query.get("after"):
            ids = [job.id for job in jobs]
            if after not in ids:
                return error_reply(404, f"Video with id '{after}' not found.")
            jobs = jobs[ids.index(after) + 1 :]
        return json_reply(self._page(call, jobs, int(limit)))

    def _page(self, call: Call, jobs: Sequence[Job], limit: int) -> Document:
        data = [self._shown(call, job) for job in jobs[:limit]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(jobs) > limit,
        }

    def _delete(self, job: Job) -> Reply:
        self._ledger.delete(job)
        return json_reply({"id": job.id, "deleted": True, "object": "video.deleted"})

    def _content(self, call: Call, job: Job) -> Reply:
        if self._shown(call, job)["status"] != "completed":
            return error_reply(404, "Video is not ready yet, use GET /v1/videos/{id} to check.")
        if call.query.get("variant", "video") != "video":
            return error_reply(400, "This server makes no thumbnails and no spritesheets.")
        return self._film(job)

    def _film(self, job: Job) -> Reply:
        seconds, size = job.order.seconds, job.order.size
        for quirk in self._quirks:
            seconds, size = quirk.film(seconds, size)
        return video_reply(footage(seconds, size))

    def _find(self, call: Call) -> Job | None:
        job = self._ledger.job(call.job_id)
        return job if job and self._knows(job) else None

    def _knows(self, job: Job) -> bool:
        return not job.deleted and all(quirk.remembers(job) for quirk in self._quirks)

    def _name(self, job_id: str, model: str) -> str:
        for quirk in self._quirks:
            job_id = quirk.name(job_id, model)
        return job_id

    def _shown(self, call: Call, job: Job) -> Document:
        document = self._document(job)
        for quirk in self._quirks:
            document = quirk.document(call, job, document)
        return document

    def _document(self, job: Job) -> Document:
        done = self._done(job)
        ended = int(job.created_at + self._job_seconds)
        return {
            "id": job.id,
            "object": "video",
            "model": job.order.model,
            "status": _status(done),
            "progress": int(100 * done),
            "created_at": int(job.created_at),
            "completed_at": ended if done == 1 else None,
            "expires_at": ended + DAY if done == 1 else None,
            "prompt": job.prompt,
            "size": job.order.size,
            "seconds": str(job.order.seconds),
            "remixed_from_video_id": None,
            "error": None,
        }

    def _done(self, job: Job) -> float:
        """Return the progress of a job, 0 to 1."""
        elapsed = self._clock() - job.created_at
        return min(1.0, elapsed / self._job_seconds) if self._job_seconds else 1.0

    def _pace(self) -> dict[str, str]:
        if self._poll_after_ms is None:
            return {}
        return {"openai-poll-after-ms": str(self._poll_after_ms)}


def _order(fields: Any) -> Order | Reply:
    """Read the request of a POST, under any of the names that servers use for its fields."""
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= 32_000:
        return error_reply(400, "Missing or invalid 'prompt'.", "missing_required_parameter")
    asked = [fields[name] for name in _SECONDS if name in fields]
    seconds = str(asked[0]) if asked else "4"
    if not seconds.isdigit() or not 1 <= int(seconds) <= MAX_SECONDS:
        return error_reply(400, f"Invalid 'seconds': {seconds}.", "invalid_value")
    size = str(fields.get("size") or "720x1280")
    if not _is_size(size):
        return error_reply(400, f"Invalid 'size': {size}.", "invalid_value")
    return Order(prompt, str(fields.get("model") or "sora-2"), int(seconds), size)


_SECONDS = ("seconds", "duration", "duration_seconds")


def _is_size(text: str) -> bool:
    sides = text.split("x")
    return len(sides) == 2 and all(
        side.isdigit() and int(side) % 2 == 0 and 0 < int(side) <= MAX_PIXELS for side in sides
    )


def _status(done: float) -> str:
    if done < 0.2:
        return "queued"
    return "completed" if done == 1 else "in_progress"


def _wrong_key() -> Reply:
    return error_reply(401, "Incorrect API key provided.", "invalid_api_key")
