"""The folder of one trial, with its catalog, server and processes."""

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

#: A disc that moves for half a second, so that a film takes about a second to make.
SCENE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720" viewBox="0 0 1280 720">
  <rect width="1280" height="720" fill="#ffffff"/>
  <circle cx="{{ 100 + 100 * [t, 0.5]|min }}" cy="360" r="80" fill="{{ accent }}"/>
</svg>
"""

#: Topics and seconds. The first is live before the trial, and must stay live until replaced.
FILMS = {"live": 5, "one": 5}

#: `count` in the old film and in those that the trial makes; the card's text shows it.
OLD, NEW = 2, 3

#: Logs each start of a program, then becomes it.
WRAPPER = """\
#!/bin/sh
echo "$*" >> "$DRILL_ENCODES"
exec '{program}' "$@"
"""


class Server:
    """A private Redis server that can be killed, emptied and suspended."""

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
        # SIGKILL also ends a suspended process.
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        shutil.rmtree(self.folder / "data")


@dataclass
class House:
    """The place of one trial; `clear` ends its processes and removes its files."""

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

    def errors_of(self, command: subprocess.Popen[bytes]) -> str:
        """Return the errors in a command's log, or else its last lines."""
        log = next(iter(self.folder.glob(f"log-{self.commands.index(command)}-*")))
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("FAILED", "error"))]
        return " / ".join(errors or lines[-3:])

    def prepare(self, base: Path) -> None:
        """Copy `base`, where one film is live, and edit the catalog so that it is stale."""
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
        """Start a vidgen command in a new session; its output goes to a log."""
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
        """Return how many encodings of a film were started."""
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
            # A horse is a fork of its worker: only its parent shows which it is.
            horses = {pid for pid in alive if _parent(pid) in alive}
            return sorted(horses if kind == "horse" else set(alive) - horses)
        return sorted(alive)

    def alive(self) -> dict[int, str]:
        """Return pid and command of every living process that was started here."""
        return self.family.alive() | self._embedded()

    def wait_for_workers(self, seconds: float = 30.0) -> None:
        with Redis.from_url(self.url, decode_responses=True) as client:
            deadline = time.monotonic() + seconds
            while client.scard("rq:workers") < self.workers and time.monotonic() < deadline:
                time.sleep(0.05)

    def clear(self, keep: bool) -> None:
        """Kill what still lives, by pid, and remove the folder unless `keep`."""
        kill(self.alive())
        for command in self.commands:
            command.wait()
        if self.server:
            self.server.kill()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _embedded(self) -> dict[int, str]:
        # A server overwrites its environment, and the mark in it, with its process title.
        servers = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                directory = str((folder / "cwd").readlink())
                if directory.startswith(f"{self.folder}/.vidgen/redis"):
                    servers[int(folder.name)] = "the embedded server"
        return servers

    def _environment(self) -> dict[str, str]:
        name, _, value = self.family.mark.partition("=")
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        own = {name: value, "PYTHONPATH": str(ROOT), "DRILL_ENCODES": f"{self.folder}/encodes"}
        own["IMAGEIO_FFMPEG_EXE"] = str(_wrapper(self.folder.parent))
        return inherited | own | ({"REDIS_URL": self.server.url} if self.server else {})


#: A part of the command line of each kind of process.
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
    run = house.start("warm", "newcomer", "live", "--sync")
    code = run.wait(60)
    assert code == 0, (folder / "log-0-warm.txt").read_text()


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pick(random_: random.Random, pids: list[int]) -> int | None:
    return random_.choice(pids) if pids else None


def _wrapper(folder: Path) -> Path:
    program = Path(ffmpeg.binary())
    # The same name: ffmpeg's version is read from it, and is a part of every fingerprint.
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
