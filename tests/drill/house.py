"""One folder with a catalog, a server and the processes of one trial."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from spritz_cli.media import ffmpeg
from spritz_cli.settings import Settings
from spritz_cli.storage.redis.server_binary import server_binary
from tests.processes import ROOT, Family
from tests.small import write_project

#: A disc that moves for half a second, so that a film is about a second of work.
SCENE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720" viewBox="0 0 1280 720">
  <rect width="1280" height="720" fill="#ffffff"/>
  <circle cx="{{ 100 + 100 * [t, 0.5]|min }}" cy="360" r="80" fill="{{ accent }}"/>
</svg>
"""

#: The first is published before the trial, and stale: its old film must stay until the new one.
FILMS = {"live": 5, "one": 5}

#: `count` of the old film and of those that the trial makes; the text of the card shows it.
OLD, NEW = 2, 3

#: Writes down that a program is run, then becomes it.
WRAPPER = """\
#!/bin/sh
echo "$*" >> "$DRILL_ENCODES"
exec '{program}' "$@"
"""


class Server:
    """A server of its own that can be killed, emptied and made to sleep."""

    def __init__(self, folder: Path, *, tcp: bool) -> None:
        self.folder = folder
        self._tcp = tcp
        self._port = _free_port() if tcp else 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self._tcp:
            return f"redis://127.0.0.1:{self._port}/0"
        return f"unix://{self.folder}/redis.sock"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        program, _ = server_binary()
        options = {"port": str(self._port), "bind": "127.0.0.1", "dir": f"{self.folder}/data"}
        options |= {"save": "", "appendonly": "yes", "unixsocket": f"{self.folder}/redis.sock"}
        flags = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.02), 500)) as client:
            client.ping()

    def kill(self) -> None:
        assert self._process is not None
        # One that sleeps is killed too.
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        shutil.rmtree(self.folder / "data")


@dataclass
class House:
    """Where one trial takes place; on leaving it nothing lives and nothing is left."""

    folder: Path
    external: bool
    tcp: bool = False
    workers: int = 2
    family: Family = field(default_factory=Family)
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    server: Server | None = None

    def __post_init__(self) -> None:
        self.settings = Settings(
            catalog=self.folder / "templates.yaml",
            scenes=self.folder / "svg_templates",
            videos_dir=self.videos,
            state_dir=self.folder / ".vidgen",
        )

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    @property
    def url(self) -> str:
        if self.server:
            return self.server.url
        return f"unix://{self.folder}/.vidgen/redis/redis.sock"

    def last_words(self, command: subprocess.Popen[bytes]) -> str:
        """Return what a command said to be wrong, or else the end of what it wrote."""
        log = next(iter(self.folder.glob(f"log-{self.commands.index(command)}-*")))
        lines = log.read_text(errors="replace").splitlines()
        wrong = [line for line in lines if line.startswith(("FAILED", "error"))]
        return " / ".join(wrong or lines[-3:])

    def prepare(self, base: Path) -> None:
        """Begin where `base` ended: one film is live; edit the catalog so that it is stale."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(base, self.folder)
        (self.folder / "encodes").unlink()
        write_films(self.folder, count=NEW)
        for topic in FILMS:
            (self.videos / "newcomer" / topic).mkdir(parents=True, exist_ok=True)
        if self.external:
            self.server = Server(self.folder / "server", tcp=self.tcp)
            (self.folder / "server").mkdir()
            (self.folder / ".vidgen/redis/data").rename(self.folder / "server/data")
            self.server.start()

    def start(
        self, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a vidgen command in a session of its own; its output goes into a log."""
        log = self.folder / f"log-{len(self.commands)}-{arguments[0]}.txt"
        with log.open("wb") as output:
            command = subprocess.Popen(
                [sys.executable, "-m", "spritz_cli", *arguments],
                cwd=self.folder,
                env={**self._environment(), **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.commands.append(command)
        return command

    def encodes(self) -> int:
        """How many encodings of a film were begun."""
        with suppress(FileNotFoundError):
            lines = (self.folder / "encodes").read_text().splitlines()
            return sum(1 for line in lines if line.endswith("/film.mp4"))
        return 0

    def members(self, kind: str) -> list[int]:
        """Return the pids of the living processes of one kind (KINDS)."""
        if kind == "server":
            return sorted(self._embedded())
        alive = self.family.alive(KINDS[kind])
        if kind == "child":
            return sorted(pid for pid in alive if "resource_tracker" not in alive[pid])
        if kind in ("worker", "horse"):
            # A horse is a fork of its worker: only its parent tells them apart.
            horses = {pid for pid in alive if _parent(pid) in alive}
            return sorted(horses if kind == "horse" else set(alive) - horses)
        return sorted(alive)

    def alive(self) -> dict[int, str]:
        """Return pid and command of everything that was started here and lives."""
        return self.family.alive() | self._embedded()

    def wait_for_workers(self, seconds: float = 30.0) -> None:
        with Redis.from_url(self.url, decode_responses=True) as client:
            deadline = time.monotonic() + seconds
            while client.scard("rq:workers") < self.workers and time.monotonic() < deadline:
                time.sleep(0.05)

    def clear(self, keep: bool) -> None:
        """End what still lives, by its pid; remove the folder unless it is to be looked at."""
        kill(self.alive())
        for command in self.commands:
            command.wait()
        if self.server:
            self.server.kill()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _embedded(self) -> dict[int, str]:
        # A server writes its title over its environment, and with it our mark.
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                place = str((folder / "cwd").readlink())
                if place.startswith(f"{self.folder}/.vidgen/redis"):
                    found[int(folder.name)] = "the embedded server"
        return found

    def _environment(self) -> dict[str, str]:
        name, _, value = self.family.mark.partition("=")
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        own = {name: value, "PYTHONPATH": str(ROOT), "DRILL_ENCODES": f"{self.folder}/encodes"}
        own["IMAGEIO_FFMPEG_EXE"] = str(_wrapper(self.folder.parent))
        return kept | own | ({"REDIS_URL": self.server.url} if self.server else {})


KINDS = {
    "service": "spritz_cli worker",
    "worker": "spritz_cli.runs.worker",
    "horse": "spritz_cli.runs.worker",
    "child": "spawn_main",
    "ffmpeg": "ffmpeg",
}


def write_films(folder: Path, *, count: int) -> None:
    write_project(folder, FILMS, count=count)
    (folder / "svg_templates" / "card.svg.j2").write_text(SCENE)


def make_base(folder: Path) -> None:
    """Publish the film that is live before each trial."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_films(folder, count=OLD)
    house = House(folder, external=False)
    made = house.start("warm", "newcomer", "live", "--sync")
    code = made.wait(60)
    assert code == 0, (folder / "log-0-warm.txt").read_text()


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pick(random_: random.Random, pids: list[int]) -> int | None:
    return random_.choice(pids) if pids else None


def _wrapper(folder: Path) -> Path:
    program = Path(ffmpeg.binary())
    # The version is read from the name, and is a part of every film's fingerprint.
    wrapper = folder / "bin" / program.name
    if not wrapper.exists():
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.write_text(WRAPPER.format(program=program))
        wrapper.chmod(0o755)
    return wrapper


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
