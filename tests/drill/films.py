"""`python -m tests.drill.films`: the same films made in three ways have the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from spritz_cli.settings import shipped
from tests.processes import ROOT

#: A short film of each persona.
DEFAULT = (
    "high_utilization/credit_utilization",
    "variable_income/cash_buffer",
    "subscription_heavy/subscription_audit",
    "savings_builder/goal_setting",
)

SUFFIXES = (".mp4", ".webp", ".vtt")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="drill-"))
    films = ["--all"] if options.all else options.film
    digests: dict[str, dict[str, str]] = {}
    seconds: dict[str, float] = {}
    for way, flags in (("sync", ("--sync",)), ("jobs, embedded Valkey", ())):
        seconds[way], digests[way] = _make(folder / way.split(",")[0], films, flags)
    with _redis(folder / "server", options.redis_server) as (url, version):
        way = f"jobs, Redis {version}"
        seconds[way], digests[way] = _make(folder / "redis", films, (), REDIS_URL=url)
    names = sorted({name for files in digests.values() for name in files})
    same = [name for name in names if len({files.get(name) for files in digests.values()}) == 1]
    report = {"seconds": seconds, "files": len(names), "identical": len(same), "digests": digests}
    print(json.dumps(report, indent=1) if options.json else _table(report, names))
    return 0 if names and len(same) == len(names) else 1


def _make(
    folder: Path, films: Sequence[str], arguments: Sequence[str], **environment: str
) -> tuple[float, dict[str, str]]:
    """Make the films in a new folder; return the seconds and the SHA-256 of each file by name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    for film in films:
        process = subprocess.run(
            [sys.executable, "-m", "spritz_cli", "warm", *film.split("/"), *arguments],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "VIDGEN_CATALOG": str(shipped("templates.yaml")),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
    return round(time.monotonic() - began, 1), dict(_digests(folder / "videos"))


def _digests(videos: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(videos.glob("*/*/*")):
        if path.suffix in SUFFIXES:
            name = f"{path.parent.relative_to(videos)}{path.suffix}"
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _redis(folder: Path, program: str) -> Iterator[tuple[str, str]]:
    """Run a private Redis on a socket; yields its URL and version."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", str(folder)]
    server = subprocess.Popen(
        [program, *options, "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"unix://{folder}/redis.sock"
    try:
        with Redis.from_url(url) as client:
            for _ in range(100):
                try:
                    version = str(client.info("server")["redis_version"])
                    break
                except RedisError:
                    time.sleep(0.1)
        yield url, version
    finally:
        server.terminate()
        server.wait()


def _table(report: dict[str, Any], names: Sequence[str]) -> str:
    lines = [f"{way:28}{seconds:8.1f} s" for way, seconds in report["seconds"].items()]
    for name in names:
        digests = [files.get(name, "missing")[:16] for files in report["digests"].values()]
        lines.append(f"{name:48}" + "  ".join(digests))
    return "\n".join([*lines, f"{report['identical']} of {report['files']} files are identical"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill.films", description=__doc__)
    parser.add_argument("film", nargs="*", metavar="PERSONA/TOPIC", default=DEFAULT)
    parser.add_argument("--all", action="store_true", help="all films of the catalog")
    parser.add_argument("--redis-server", default="redis-server", help="a real Redis, 6.2 or newer")
    parser.add_argument("--folder", help="the folder of the films; a short path, for sockets")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
