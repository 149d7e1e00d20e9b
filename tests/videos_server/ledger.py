"""The ledger of a fake video server: requests, accepted jobs and charges."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.videos_server.wire import Call


@dataclass(frozen=True)
class Order:
    """The valid request of a POST."""

    prompt: str
    model: str
    seconds: int
    size: str


@dataclass(frozen=True)
class Job:
    """One accepted POST. `charged_usd` is exact, as text; `run` counts starts of the server."""

    id: str
    order: Order
    created_at: float
    charged_usd: str
    run: int
    idempotency_key: str | None = None
    deleted: bool = False

    @property
    def prompt(self) -> str:
        return self.order.prompt


class Ledger:
    """Keeps requests, jobs and charges; with `state` also in a JSON file that survives a kill."""

    def __init__(self, state: Path | None = None) -> None:
        self._state = state
        self._lock = threading.RLock()
        self.requests: list[Call] = []
        self.elsewhere: list[Call] = []
        self.posts = 0
        self.run = 1
        self._jobs: dict[str, Job] = {}
        if state is not None and state.exists():
            self._load(json.loads(state.read_text("utf-8")))

    @property
    def jobs(self) -> list[Job]:
        """Every accepted job, oldest first, including deleted ones."""
        with self._lock:
            return list(self._jobs.values())

    @property
    def charged_usd(self) -> Decimal:
        return sum((Decimal(job.charged_usd) for job in self.jobs), Decimal(0))

    def restarted(self) -> None:
        """Start another run. Jobs that the server keeps in memory are lost."""
        with self._lock:
            self.run += 1
            self._save()

    def receive(self, call: Call) -> None:
        with self._lock:
            self.requests.append(call)
            if call.method == "POST":
                self.posts += 1
                self._save()

    def receive_elsewhere(self, call: Call) -> None:
        with self._lock:
            self.elsewhere.append(call)

    def nth(self, call: Call) -> int:
        """Return the number of requests with this method and path, including this one."""
        with self._lock:
            alike = [one for one in self.requests if one[:2] == call[:2]]
            return 1 + next(index for index, one in enumerate(alike) if one is call)

    def accept(
        self,
        order: Order,
        *,
        price: Decimal,
        now: float,
        name: Callable[[str, str], str],
        idempotency_key: str | None,
    ) -> Job:
        """Create and charge a job; `name` makes its public id from a plain id and the model."""
        with self._lock:
            job = Job(
                id=name(f"video_{len(self._jobs) + 1:04d}_{_digest(order)}", order.model),
                order=order,
                created_at=now,
                charged_usd=str(price * order.seconds),
                run=self.run,
                idempotency_key=idempotency_key,
            )
            self._jobs[job.id] = job
            self._save()
            return job

    def delete(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.id] = replace(job, deleted=True)
            self._save()

    def job(self, job_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job_id)

    def _load(self, document: dict[str, Any]) -> None:
        self.posts = document["posts"]
        self.run = document["run"] + 1
        for one in document["jobs"]:
            job = Job(**{**one, "order": Order(**one["order"])})
            self._jobs[job.id] = job

    def _save(self) -> None:
        if self._state is None:
            return
        document = {
            "posts": self.posts,
            "charged_usd": str(self.charged_usd),
            "run": self.run,
            "jobs": [asdict(job) for job in self._jobs.values()],
        }
        scratch = self._state.with_name(self._state.name + ".part")
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._state)


def _digest(order: Order) -> str:
    return hashlib.sha256(json.dumps(asdict(order)).encode()).hexdigest()[:12]
