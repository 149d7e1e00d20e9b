"""Generated footage and its orders: `.footage/<persona>/<topic>/<order>.{json,mp4}`.

An order is one paid request for one segment. Its journal (JSON) is durable
before the request is sent, so that the next process can resume after a kill. Once
the segment is stored, the journal is its sidecar.
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
from spritz_cli.storage.files.base import DiskFiles, Files, FoundFile, in_parallel, local_folder
from spritz_cli.storage.files.disk import disk_errors, measure

FOLDER = ".footage"

#: Fields that have another name in journals: paid orders on disk use these.
_STORED_AS = {"request_digest": "wish", "paid_fingerprint": "paid", "cost_micros": "micro"}

#: A cache: version of the journal and day of each settled order. Journals of any other version
#: are read.
_SETTLED = f"{FOLDER}/.settled.json"

#: Settled orders that may be missing in the cache before it is rewritten.
MOST_UNNOTED = 100

#: Fields of later versions. Journals leave them out while they are unknown.
_LATER = ("frames", "fps", "matrix")

_JOURNAL = re.compile(r"/[0-9a-f][^/]*\.json$")

#: `intended`: money is reserved, certainly not sent. `sending`: possibly sent.
#: `unknown`: the provider could not say whether it arrived. `submitted`: accepted.
#: `refused`: not accepted, not charged. `failed`: charged, without usable footage.
OrderState = Literal["intended", "sending", "unknown", "submitted", "stored", "refused", "failed"]

#: States in which the provider charges for an order, or may charge.
CHARGED: tuple[OrderState, ...] = ("sending", "unknown", "submitted", "stored", "failed")

#: Final states: the day that an order counts to does not change any more.
SETTLED: tuple[OrderState, ...] = ("stored", "failed")


class Order(NamedTuple):
    """One request for one segment of footage; times are epoch seconds.

    `request_digest` is the digest of the catalog's request, `paid_fingerprint`
    identifies the film that the segment is part of, and `day` is the UTC day
    whose budget the order counts to. The segment with this `sha256` has `frames`
    frames at `fps` and colours in `matrix` (see media.montage.Clip).
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
        """The charge of the order in the budget of its day."""
        done = self.state in ("stored", "failed")
        return Charge(self.id, self.template, self.cost_micros, "spent" if done else "held")


class _Settled(NamedTuple):
    version: str
    day: str

    def is_of_other_day(self, journal: FoundFile, day: str) -> bool:
        return bool(self.version) and self.version == journal.version and self.day != day


class FootageStore:
    """Stores orders and their footage beside the films: below a folder, or in other `Files`."""

    def __init__(self, location: Path | Files, *, most_unnoted: int = MOST_UNNOTED) -> None:
        self._files = DiskFiles(location) if isinstance(location, Path) else location
        self._most_unnoted = most_unnoted

    @property
    def folder(self) -> Path:
        """The folder of all orders; StorageError if they are in a bucket."""
        return local_folder(self._files) / FOLDER

    def orders(self, template: Template) -> list[Order]:
        """Return the orders of a template, oldest first."""
        return sorted(self._read_all(self.journals([template.name])), key=_age)

    def all_orders(self) -> Iterator[Order]:
        """Yield every order, folder by folder."""
        yield from self._read_all(self._journals(f"{FOLDER}/"))

    def orders_of(self, day: str) -> list[Order]:
        """Return the orders that count to a UTC day. The caller holds the lock.

        Does not read the journals of orders that the cache knows to be settled on other days.
        """
        cache = self._cache()
        files = [file for file in self._files.find(f"{FOLDER}/") if _JOURNAL.search(file.name)]
        others = {
            file.name: cache[file.name]
            for file in files
            if file.name in cache and cache[file.name].is_of_other_day(file, day)
        }
        rest = [file for file in files if file.name not in others]
        orders = in_parallel(self._files, self._read, [file.name for file in rest])
        fresh = {
            file.name: _Settled(file.version, order.day)
            for file, order in zip(rest, orders, strict=True)
            if order and order.day != day and order.state in SETTLED and file.version
        }
        if len(fresh) > self._most_unnoted:
            self._files.write(_SETTLED, json.dumps(others | fresh).encode())
        return [order for order in orders if order and order.day == day]

    def folders(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the prefixes of the files of some templates or personas."""
        return (f"{FOLDER}/{name}/" for name in names)

    def journals(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the names of the journals of some templates."""
        for prefix in self.folders(names):
            yield from self._journals(prefix)

    def record(self, order: Order) -> Order:
        """Write an order atomically and durably, and return it."""
        self._files.write(_name(order, "json"), _journal(order))
        return order

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock for reserving money."""
        return self._files.locked(f"{FOLDER}/.lock")

    def adopt(self, order: Order, scratch: Path) -> dict[str, Any]:
        """Move a checked segment into place and return its size and digest, for the order."""
        with disk_errors(scratch.parent):
            record = dict(measure(scratch))
        self._files.put(scratch, _name(order, "mp4"))
        return record

    def path(self, order: Order) -> Path:
        """Return the path of the segment of an order; StorageError if it is in a bucket."""
        return self.folder / order.template / f"{order.id}.mp4"

    def files(self, order: Order) -> list[tuple[Location, int]]:
        """Return the existing files of an order with their sizes, the journal first."""
        files = self._files.find(f"{FOLDER}/{order.template}/{order.id}.")
        return [(self._files.location / file.name, file.bytes) for file in files]

    def local(self, order: Order, folder: Path) -> Path:
        """Return a path of the segment on this machine: from a bucket, a copy in `folder`."""
        return self._files.local(_name(order, "mp4"), folder)

    def intact(self, order: Order) -> bool:
        """Whether the segment of an order is stored in full length. Does not read it."""
        if order.state != "stored":
            return False
        name = _name(order, "mp4")
        return any(
            (file.name, file.bytes) == (name, order.bytes) for file in self._files.find(name)
        )

    def remove(self, order: Order) -> list[Location]:
        """Delete an order, journal first, and its footage; return the deleted files."""
        names = [_name(order, suffix) for suffix in ("json", "mp4")]
        return [self._files.location / name for name in names if self._files.delete(name)]

    def _journals(self, prefix: str) -> Iterator[str]:
        return (file.name for file in self._files.find(prefix) if _JOURNAL.search(file.name))

    def _cache(self) -> dict[str, _Settled]:
        content = self._files.read(_SETTLED)
        try:
            stored = json.loads(content.data) if content else {}
            return {name: _Settled(*map(str, entry)) for name, entry in stored.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def _read_all(self, names: Iterable[str]) -> list[Order]:
        orders = in_parallel(self._files, self._read, names)
        return [order for order in orders if order]

    def _read(self, name: str) -> Order | None:
        content = self._files.read(name)
        # None: a cleanup has deleted it meanwhile.
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
        # Never skipped: a purchase that misses an order would pay for it again.
        raise StorageError(
            f"{where} cannot be read: {exc}",
            hint="It records a payment for footage: restore it, or move it away on purpose.",
        ) from exc


def _age(order: Order) -> tuple[float, int]:
    return order.created_at, order.part
