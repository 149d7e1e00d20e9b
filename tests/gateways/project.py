"""A vidgen project in its own folder, used by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spritz_cli.models import MicroUSD, micros
from tests import documents
from tests.gateways.servers import end
from tests.small import write_project

#: The price of a second of footage at every provider here.
USD_PER_SECOND = 0.10

VIDGEN = Path(sys.executable).with_name("vidgen")
PATIENCE = 300.0


class Broken(Exception):
    """Raised when vidgen fails, with its output."""


@dataclass(frozen=True)
class Project:
    """A small catalog and the settings of a provider."""

    folder: Path
    provider: Mapping[str, str]

    @classmethod
    def new(cls, folder: Path, films: Mapping[str, int], **provider: str) -> Project:
        """Write a catalog of films (topic: seconds); `provider` are settings without VIDGEN_."""
        write_project(folder, films)
        settings = {"price_per_second_usd": str(USD_PER_SECOND), **provider}
        return cls(folder, {f"VIDGEN_{name.upper()}": text for name, text in settings.items()})

    def vidgen(self, *arguments: str) -> dict[str, Any]:
        """Run a command to its end and return its document; raises Broken."""
        process = self.begin(*arguments, "--json")
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except BaseException:
            # vidgen ends its workers and its server by itself.
            end(process, signal.SIGINT)
            raise
        self._log(arguments, process.returncode, out, err)
        document = documents.read(out) if out else {"error": err.strip()}
        if "error" in document:
            raise Broken(f"vidgen {' '.join(arguments)}: {document['error']}")
        return document

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in its own session."""
        ours = ("VIDGEN_", "REDIS_URL", "OPENAI_")
        others = {n: text for n, text in os.environ.items() if not n.startswith(ours)}
        return subprocess.Popen(
            [VIDGEN, *arguments],
            cwd=self.folder,
            env={**others, **self.provider},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def outcome(self) -> str:
        """Return the tiers of the films, with reasons for the lower ones: "2 × sora"."""
        counts = Counter(_outcome(film) for film in self.vidgen("status")["films"])
        return ", ".join(f"{count} × {what}" for what, count in sorted(counts.items()))

    def counted_micros(self) -> MicroUSD:
        """Return the amount that vidgen counts as spent today, including held money."""
        today = self.vidgen("budget")
        return micros(today["spent_usd"] + today["held_usd"])

    def edit(self, old: str, new: str) -> None:
        """Replace the first occurrence in the catalog."""
        path = self.folder / "templates.yaml"
        text = path.read_text("utf-8")
        if old not in text:
            raise Broken(f"{path}: there is no “{old}”")
        path.write_text(text.replace(old, new, 1), "utf-8")

    def orders(self) -> list[dict[str, Any]]:
        """Return the journal of every order."""
        found = self.folder.glob("videos/.footage/*/*/*.json")
        return [json.loads(path.read_text("utf-8")) for path in found]

    def _log(self, arguments: Sequence[str], code: int, out: str, err: str) -> None:
        with (self.folder / "vidgen.log").open("a", encoding="utf-8") as log:
            log.write(f"$ vidgen {' '.join(arguments)}\n{out}{err}exit code {code}\n\n")


def _outcome(film: Mapping[str, Any]) -> str:
    video = film["video"] or {}
    reason = video.get("fallback_reason")
    tier = video.get("fallback_used") or film["status"]
    return f"{tier} ({reason})" if reason else str(tier)
