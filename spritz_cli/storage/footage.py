"""Generated footage and what was paid for it: `.footage/<persona>/<topic>/<order>.{json,mp4}`.

An order is one paid request for one segment. Its JSON is the journal that a
killed process is resumed from: it is durable before the request leaves, and
becomes the sidecar of the segment once that is stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from spritz_cli.errors import StorageError
from spritz_cli.models import Template
from spritz_cli.storage.budget import Charge
from spritz_cli.storage.disk import disk_errors, is_real_folder, measure, open_folder, seal
from spritz_cli.storage.locks import held

FOLDER = ".footage"

#: `intended`: reserved, surely not sent. `sending`: it may have been sent.
#: `unknown`: nobody could say whether it arrived. `submitted`: the provider is at it.
#: `refused`: not accepted, not charged. `failed`: charged, without usable footage.
OrderState = Literal["intended", "sending", "unknown", "submitted", "stored", "refused", "failed"]

#: States in which the provider charges for an order, or may do so.
CHARGED: tuple[OrderState, ...] = ("sending", "unknown", "submitted", "stored", "failed")


@dataclass(frozen=True)
class Order:
    """One request for one segment of footage; `micro` are micro-dollars, times are epoch seconds.

    `wish` is the digest of what the catalog asked for, `paid` the paid
    fingerprint of the film that it is a part of, `day` the UTC day whose budget
    it counts to.
    """

    id: str
    template: str
    wish: str
    paid: str
    part: int
    parts: int
    attempt: int
    provider: str
    model: str
    prompt: str
    size: str
    seconds: int
    micro: int
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

    @property
    def charge(self) -> Charge:
        """What it counts for in its day's budget."""
        done = self.state in ("stored", "failed")
        return Charge(self.id, self.template, self.micro, "spent" if done else "held")


class FootageStore:
    """Keeps orders and their footage below the videos directory."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.folder = self.root / FOLDER

    def orders(self, template: Template) -> list[Order]:
        """Return every order of a template, the oldest first."""
        return sorted(_read_folder(self.folder / template.persona / template.topic), key=_age)

    def all_orders(self) -> Iterator[Order]:
        """Yield every order, folder by folder."""
        for persona in _folders(self.folder):
            for topic in _folders(persona):
                yield from _read_folder(topic)

    def record(self, order: Order) -> Order:
        """Write an order durably, in one step; returns it."""
        text = json.dumps(asdict(order), ensure_ascii=False, indent=1)
        with disk_errors(self.folder), self._opened(order) as folder:
            scratch = f".{order.id}.{os.getpid()}"
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(scratch, f"{order.id}.json", src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(scratch, dir_fd=folder)
                raise
            os.fsync(folder)
        return order

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from reserving money at the same time."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder / ".lock"):
            yield

    def adopt(self, order: Order, scratch: Path) -> dict[str, Any]:
        """Move a checked segment into place and return its size and digest, for the order."""
        with disk_errors(self.folder), self._opened(order) as folder:
            told = dict(measure(scratch))
            seal(scratch)
            os.rename(scratch, f"{order.id}.mp4", dst_dir_fd=folder)
            os.fsync(folder)
        return told

    def path(self, order: Order) -> Path:
        """Return where the segment of an order lies once it is stored."""
        return self._place(order).with_suffix(".mp4")

    def intact(self, order: Order) -> bool:
        """Whether the footage of an order is there in full length (cheap: reads none of it)."""
        with suppress(OSError):
            return order.state == "stored" and self.path(order).stat().st_size == order.bytes
        return False

    def remove(self, order: Order) -> list[Path]:
        """Delete an order and its footage; returns what is gone. The journal goes first."""
        gone = []
        with disk_errors(self.folder), self._opened(order) as folder:
            for suffix in ("json", "mp4"):
                with suppress(FileNotFoundError):
                    os.unlink(f"{order.id}.{suffix}", dir_fd=folder)
                    gone.append(self._place(order).with_suffix(f".{suffix}"))
        return gone

    def _opened(self, order: Order) -> Any:
        persona, topic = order.template.split("/")
        return open_folder(self.root, FOLDER, persona, topic, create=True)

    def _place(self, order: Order) -> Path:
        return self.folder / order.template / f"{order.id}.json"


def _read_folder(folder: Path) -> Iterator[Order]:
    if not is_real_folder(folder):
        return
    for path in sorted(folder.glob("[0-9a-f]*.json")):
        # Unless a cleanup was quicker.
        with suppress(FileNotFoundError):
            yield _read(path)


def _read(path: Path) -> Order:
    known = {item.name for item in fields(Order)}
    try:
        document = json.loads(path.read_text("utf-8"))
        return Order(**{name: value for name, value in document.items() if name in known})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        # Not skipped: whoever does not see an order pays for it again.
        raise StorageError(
            f"{path} cannot be read: {exc}",
            hint="It records what was paid for footage: restore it, or move it away on purpose.",
        ) from exc


def _folders(parent: Path) -> list[Path]:
    if not is_real_folder(parent):
        return []
    return [path for path in sorted(parent.iterdir()) if is_real_folder(path)]


def _age(order: Order) -> tuple[float, int]:
    return order.created_at, order.part
