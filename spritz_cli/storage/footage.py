"""Generated footage and what was paid for it: `.footage/<persona>/<topic>/<order>.{json,mp4}`.

An order is one paid request for one segment. Its JSON is the journal that a
killed process is resumed from: it is durable before the request leaves, and
becomes the sidecar of the segment once that is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spritz_cli.errors import StorageError
from spritz_cli.models import Location, MicroUSD, Template
from spritz_cli.storage.budget import Charge
from spritz_cli.storage.files.base import DiskFiles, Files, FoundFile, at_once, local_folder
from spritz_cli.storage.files.disk import disk_errors, measure

FOLDER = ".footage"

#: Journals keep the names of their first version: there are paid orders on disk.
_STORED_AS = {"request_digest": "wish", "paid_fingerprint": "paid", "cost_micros": "micro"}

#: The version of the journal of each settled order, and the day that it counts to. Only a cache:
#: any other version of a journal is read.
_SETTLED = f"{FOLDER}/.settled.json"

#: The cache is written anew when it lacks more orders than this.
MOST_UNNOTED = 100

#: Fields that came later are left out of a journal while they are unknown.
_LATER = ("frames", "fps", "matrix")

_JOURNAL = re.compile(r"/[0-9a-f][^/]*\.json$")

#: `intended`: reserved, surely not sent. `sending`: it may have been sent.
#: `unknown`: nobody could say whether it arrived. `submitted`: the provider is at it.
#: `refused`: not accepted, not charged. `failed`: charged, without usable footage.
OrderState = Literal["intended", "sending", "unknown", "submitted", "stored", "refused", "failed"]

#: States in which the provider charges for an order, or may do so.
CHARGED: tuple[OrderState, ...] = ("sending", "unknown", "submitted", "stored", "failed")

#: States after which an order counts to the same day for ever.
SETTLED: tuple[OrderState, ...] = ("stored", "failed")


class Order(NamedTuple):
    """One request for one segment of footage; times are epoch seconds.

    `request_digest` is the digest of what the catalog asked for, `paid_fingerprint` the paid
    fingerprint of the film that it is a part of, `day` the UTC day whose budget
    it counts to. `frames` is how many the segment with this `sha256` decodes to
    at `fps`, `matrix` that of its colours (see media.montage.Clip).
    """

    id: str
    template: str
    request_digest: str
    paid_fingerprint: str
    part: int
    parts: int
    attempt: int
    provider: str
    model: str
    prompt: str
    size: str
    seconds: int
    cost_micros: MicroUSD
    day: str
    created_at: float
    state: OrderState = "intended"
    sent_at: float | None = None
    remote_id: str | None = None
    error_kind: str | None = None
    error: str | None = None
    failures: int = 0
    sha256: str | None = None
    bytes: int | None = None
    ai_generated: bool = True
    frames: int | None = None
    fps: int | None = None
    matrix: str | None = None

    @property
    def charge(self) -> Charge:
        """What it counts for in its day's budget."""
        done = self.state in ("stored", "failed")
        return Charge(self.id, self.template, self.cost_micros, "spent" if done else "held")


class _Settled(NamedTuple):
    version: str
    day: str

    def is_of_other_day(self, journal: FoundFile, day: str) -> bool:
        return bool(self.version) and self.version == journal.version and self.day != day


class FootageStore:
    """Keeps orders and their footage beside the films: below a folder or in other `Files`."""

    def __init__(self, location: Path | Files, *, most_unnoted: int = MOST_UNNOTED) -> None:
        self._files = DiskFiles(location) if isinstance(location, Path) else location
        self._most_unnoted = most_unnoted

    @property
    def folder(self) -> Path:
        """The folder that all of it lies in; StorageError if that is in a bucket."""
        return local_folder(self._files) / FOLDER

    def orders(self, template: Template) -> list[Order]:
        """Return every order of a template, the oldest first."""
        return sorted(self._read_all(self.journals([template.name])), key=_age)

    def all_orders(self) -> Iterator[Order]:
        """Yield every order, folder by folder."""
        yield from self._read_all(self._journals(f"{FOLDER}/"))

    def orders_of(self, day: str) -> list[Order]:
        """Return the orders that count to a UTC day. Call it with the lock.

        The journals of orders that settled on other days are not read again once they are noted.
        """
        noted = self._noted()
        files = [file for file in self._files.find(f"{FOLDER}/") if _JOURNAL.search(file.name)]
        others = {
            file.name: noted[file.name]
            for file in files
            if file.name in noted and noted[file.name].is_of_other_day(file, day)
        }
        rest = [file for file in files if file.name not in others]
        orders = at_once(self._files, self._read, [file.name for file in rest])
        fresh = {
            file.name: _Settled(file.version, order.day)
            for file, order in zip(rest, orders, strict=True)
            if order and order.day != day and order.state in SETTLED and file.version
        }
        if len(fresh) > self._most_unnoted:
            self._files.write(_SETTLED, json.dumps(others | fresh).encode())
        return [order for order in orders if order and order.day == day]

    def folders(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the prefixes under which all about some templates or personas is stored."""
        return (f"{FOLDER}/{name}/" for name in names)

    def journals(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the names of the journals of some templates."""
        for prefix in self.folders(names):
            yield from self._journals(prefix)

    def record(self, order: Order) -> Order:
        """Write an order durably, in one step; returns it."""
        self._files.write(_name(order, "json"), _journal(order))
        return order

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other process from reserving money at the same time."""
        return self._files.locked(f"{FOLDER}/.lock")

    def adopt(self, order: Order, scratch: Path) -> dict[str, Any]:
        """Move a checked segment into place and return its size and digest, for the order."""
        with disk_errors(scratch.parent):
            told = dict(measure(scratch))
        self._files.put(scratch, _name(order, "mp4"))
        return told

    def path(self, order: Order) -> Path:
        """Return where on this disk the segment of an order lies once it is stored."""
        return self.folder / order.template / f"{order.id}.mp4"

    def files(self, order: Order) -> list[tuple[Location, int]]:
        """Return the files of an order that are there, with their sizes, the journal first."""
        found = self._files.find(f"{FOLDER}/{order.template}/{order.id}.")
        return [(self._files.location / file.name, file.bytes) for file in found]

    def local(self, order: Order, folder: Path) -> Path:
        """Return the stored segment of an order on this machine, copied to `folder` if need be."""
        return self._files.local(_name(order, "mp4"), folder)

    def intact(self, order: Order) -> bool:
        """Whether the footage of an order is there in full length (cheap: reads none of it)."""
        if order.state != "stored":
            return False
        name = _name(order, "mp4")
        return any(
            (found.name, found.bytes) == (name, order.bytes) for found in self._files.find(name)
        )

    def remove(self, order: Order) -> list[Location]:
        """Delete an order and its footage; returns what is gone. The journal goes first."""
        names = [_name(order, suffix) for suffix in ("json", "mp4")]
        return [self._files.location / name for name in names if self._files.delete(name)]

    def _journals(self, prefix: str) -> Iterator[str]:
        return (file.name for file in self._files.find(prefix) if _JOURNAL.search(file.name))

    def _noted(self) -> dict[str, _Settled]:
        content = self._files.read(_SETTLED)
        try:
            stored = json.loads(content.data) if content else {}
            return {name: _Settled(*map(str, entry)) for name, entry in stored.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def _read_all(self, names: Iterable[str]) -> list[Order]:
        orders = at_once(self._files, self._read, names)
        return [order for order in orders if order]

    def _read(self, name: str) -> Order | None:
        content = self._files.read(name)
        # Unless a cleanup was quicker.
        return _order(content.data, self._files.location / name) if content else None


def _name(order: Order, suffix: str) -> str:
    return f"{FOLDER}/{order.template}/{order.id}.{suffix}"


def _journal(order: Order) -> bytes:
    fields = {
        _STORED_AS.get(name, name): value
        for name, value in order._asdict().items()
        if value is not None or name not in _LATER
    }
    return json.dumps(fields, ensure_ascii=False, indent=1).encode()


def _order(data: bytes, where: Location) -> Order:
    try:
        stored = json.loads(data)
        names = {_STORED_AS.get(name, name): name for name in Order._fields}
        return Order(**{names[name]: value for name, value in stored.items() if name in names})
    except (ValueError, TypeError, AttributeError) as exc:
        # Not skipped: whoever does not see an order pays for it again.
        raise StorageError(
            f"{where} cannot be read: {exc}",
            hint="It records what was paid for footage: restore it, or move it away on purpose.",
        ) from exc


def _age(order: Order) -> tuple[float, int]:
    return order.created_at, order.part
