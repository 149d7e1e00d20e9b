"""`python -m tests.drill.scale`: make a large catalog on two hosts; time plan and status."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from spritz_cli.bootstrap import Services
from spritz_cli.catalog.schema import MAX_TEMPLATES
from spritz_cli.films.planning import Judge, PlanItem
from spritz_cli.models import RenderedFilm
from spritz_cli.settings import PACKAGE, Settings, shipped
from spritz_cli.storage.redis.connection import OpenRedis
from tests.drill.house import NEW, Server, kill
from tests.drill.watch import Publications
from tests.processes import ROOT, Family
from tests.small import write_project

#: One flat picture: the cheapest film, of the shortest length that a catalog allows.
SCENE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720" viewBox="0 0 1280 720">
  <rect width="1280" height="720" fill="{{ accent }}"/>
</svg>
"""

TOPICS_PER_PERSONA = 100

#: Limits of a catalog, raised in a copy of the package to measure beyond them.
LIMITS = {
    "MAX_VALUES = 500_000": "MAX_VALUES = 1_000_000",
    "MAX_ITEMS = 10_000": "MAX_ITEMS = 50_000",
    "MAX_TEMPLATES = 5_000": "MAX_TEMPLATES = 50_000",
}

#: Isolates a host: it has its own processes, network, name and state directory.
ISOLATED = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--net", "--uts")

_TEMPLATE = """\
  - {{persona: p{persona}, topic: t{topic}, title: First steps, duration_seconds: 5,
     prompt_template: Steps appear., visual_metaphor: Stairs, takeaway: Begin with one.,
     card: {{headline: First steps, body: "There are {{{{{{{{ count }}}}}}}}.", action: Take one.}},
     alt: Stairs, captions: [{{start: 0, end: 4, text: One at a time.}}],
     figures: [{{value: count, format: number, label: steps}}], parameters: {{count: {count}}}}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="drill-"))
    report: dict[str, Any] = {"films": [], "entries": []}
    try:
        for hosts, workers, films in ((1, 1, options.alone), (2, options.workers, options.films)):
            if films:
                report["films"].append(_make(folder / f"w{workers}", hosts, workers, films))
                print(json.dumps(report["films"][-1]), file=sys.stderr, flush=True)
        for count in options.entries:
            report["entries"] += _time_commands(folder / f"n{count}", count)
    except KeyboardInterrupt:
        print("interrupted; these are the results so far", file=sys.stderr)
    print(json.dumps(report, indent=1) if options.json else _table(report))
    return 0 if all(row["made_once"] == row["films"] for row in report["films"]) else 1


def write_catalog(folder: Path, films: int) -> Settings:
    """Write a catalog of `films` films, each of one flat picture."""
    settings = write_project(folder, {})
    (folder / "svg_templates" / "card.svg.j2").write_text(SCENE)
    topics: dict[int, list[int]] = {}
    for number in range(films):
        topics.setdefault(number // TOPICS_PER_PERSONA, []).append(number)
    lines = ["version: 1", "personas:"]
    for persona, numbers in topics.items():
        names = ", ".join(f"t{number}" for number in numbers)
        lines.append(f"  p{persona}: {{accent: teal, topics: [{names}]}}")
    entries = (
        _TEMPLATE.format(persona=number // TOPICS_PER_PERSONA, topic=number, count=NEW).replace(
            "{{{{ count }}}}", "{{ count }}"
        )
        for number in range(films)
    )
    text = "\n".join([*lines, "templates:", *entries])
    (folder / "templates.yaml").write_text(text)
    return settings


@dataclass
class _Host:
    """The workers of one machine, which shares only the films and the server with others."""

    folder: Path
    catalog: Settings
    url: str
    family: Family
    isolated: bool

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        name, _, value = self.family.mark.partition("=")
        command = [sys.executable, "-m", "spritz_cli", *arguments]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*ISOLATED, *command] if self.isolated else command,
                cwd=self.folder,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    name: value,
                    "REDIS_URL": self.url,
                    "VIDGEN_CATALOG": str(self.catalog.catalog),
                    "VIDGEN_VIDEOS_DIR": str(self.catalog.videos_dir),
                    "VIDGEN_STATE_DIR": str(self.folder / "state"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _make(folder: Path, hosts: int, workers: int, films: int) -> dict[str, Any]:
    """Make `films` films on `hosts` hosts; count how often each was published."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    catalog = write_catalog(folder, films)
    names = [f"p{number // TOPICS_PER_PERSONA}/t{number}" for number in range(films)]
    for name in names:
        (folder / "videos" / name).mkdir(parents=True)
    publications = Publications(folder / "videos", names)
    # A socket in a shared folder: reachable without a network.
    server = Server(folder / "server", tcp=False)
    server.start()
    family = Family()
    isolated = hosts > 1 and _can_isolate()
    machines = [
        _Host(folder / f"host{number}", catalog, server.url, family, isolated)
        for number in range(hosts)
    ]
    try:
        for machine in machines:
            machine.start("worker", "-n", str(workers // hosts))
        _wait_for_workers(server.url, workers)
        began = time.monotonic()
        client = _Host(folder / "watcher", catalog, server.url, family, isolated=False)
        code = client.start("warm", "--all").wait()
        seconds = time.monotonic() - began
    finally:
        kill(family.alive())
        server.kill()
    counted = publications.close()
    return {
        "films": films,
        "hosts": hosts,
        "isolated": isolated,
        "workers": workers,
        "exit_code": code,
        "made_once": sum(1 for name in names if counted[name] == 1),
        "made_more_than_once": sum(1 for name in names if counted[name] > 1),
        "seconds": round(seconds, 1),
        "films_per_minute": round(films / seconds * 60, 1),
    }


def _can_isolate() -> bool:
    try:
        return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _wait_for_workers(url: str, count: int) -> None:
    with Redis.from_url(url) as client:
        deadline = time.monotonic() + 60
        while client.scard("rq:workers") < count and time.monotonic() < deadline:
            time.sleep(0.1)


def _time_commands(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Publish `count` copies of one real film, then time plan and status twice each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = _package(folder, count)
    catalog = write_catalog(folder, count)
    server = Server(folder / "server", tcp=False)
    server.start()
    try:
        publish = [sys.executable, "-m", "tests.drill.scale", "--publish", str(folder)]
        environment = {"PATH": os.environ["PATH"], "REDIS_URL": server.url}
        environment["PYTHONPATH"] = f"{source}:{ROOT}"
        subprocess.run([*publish, server.url], cwd=folder, env=environment, check=True)
        for command in ("plan", "status"):
            for cached in (False, True):
                yield _timed(command, folder, catalog, environment, count, cached=cached)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _timed(
    command: str,
    folder: Path,
    catalog: Settings,
    environment: dict[str, str],
    count: int,
    *,
    cached: bool,
) -> dict[str, Any]:
    if not cached:
        shutil.rmtree(catalog.state_dir, ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "spritz_cli", command, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {
        "entries": count,
        "command": command,
        "catalog": "cached" if cached else "read",
        "wall": round(wall, 2),
        "cpu": round(cpu, 2),
        "current": _current(process.stdout),
        "exit_code": process.returncode,
        "limits": "raised" if _is_raised(count) else "as shipped",
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _current(output: str) -> int:
    """Return how many films plan would keep, or status calls ready."""
    totals = json.loads(output).get("totals", {}) if output else {}
    count: int = totals.get("keep", totals.get("ready", 0))
    return count


def _is_raised(count: int) -> bool:
    return count > MAX_TEMPLATES


def _package(folder: Path, count: int) -> Path:
    """Return the folder to import vidgen from: a copy with raised limits for very many films."""
    if not _is_raised(count):
        return ROOT
    copy = folder / "src"
    shutil.copytree(PACKAGE, copy / "spritz_cli", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("templates.yaml", "providers.yaml"):
        shutil.copy(shipped(name), copy / name)
    shutil.copytree(shipped("svg_templates"), copy / "svg_templates")
    modules = list((copy / "spritz_cli" / "catalog").glob("*.py"))
    for limit, raised in LIMITS.items():
        (module,) = (path for path in modules if f"\n{limit}\n" in path.read_text())
        module.write_text(module.read_text().replace(limit, raised))
    return copy


def _publish_all(folder: Path, url: str) -> None:
    """Make the film of the first template, and publish a copy for each other template."""
    from spritz_cli.films.generate import generate_video
    from spritz_cli.settings import load_settings

    settings = load_settings({}, folder)
    # Faster, and these copies need not survive a power cut.
    os.fsync = lambda fd: None
    with Redis.from_url(url, decode_responses=True) as client:
        services = Services(settings, OpenRedis(client, url))
        store, manifest, leases = services.store, services.manifest, services.leases
        first, *rest = services.catalog.templates
        outcome = generate_video(services.studio, PlanItem(first, "make", "new"))
        assert outcome.video is not None
        original = store.path(outcome.video)
        for template in rest:
            judge = Judge(services.studio, template)
            with leases.acquire(template.key) as lease, store.staging() as scratch:
                video, poster, vtt = (scratch / f"film.{kind}" for kind in ("mp4", "webp", "vtt"))
                for copy in (video, poster, vtt):
                    shutil.copyfile(original.with_suffix(copy.suffix), copy)
                entry = store.publish(
                    RenderedFilm(video, poster, vtt, 5.0, 1280, 720),
                    template,
                    tier="static",
                    fingerprint=judge.fingerprints["static"],
                    inputs=judge.inputs["static"],
                    created_at=outcome.video.created_at or "",
                    fallback_reason="not_configured",
                )
                manifest.publish(entry, lease)


def _table(report: dict[str, Any]) -> str:
    lines = []
    for kind in ("films", "entries"):
        rows = report[kind]
        if rows:
            lines += ["  ".join(f"{name.upper():>12}" for name in rows[0])]
            lines += ["  ".join(f"{value!s:>12}" for value in row.values()) for row in rows] + [""]
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill.scale", description=__doc__)
    parser.add_argument("--films", type=int, default=200, help="films made by all workers (200)")
    parser.add_argument("--alone", type=int, default=50, help="films made by one worker (50)")
    parser.add_argument("--workers", type=int, default=4, help="workers on two hosts (4)")
    parser.add_argument(
        "--entries",
        type=int,
        nargs="*",
        default=[20, 200, 2_000, 20_000],
        help="numbers of films for plan and status",
    )
    parser.add_argument("--folder", help="the folder of the trial; a short path, for sockets")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--publish", nargs=2, metavar=("FOLDER", "URL"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    if "--publish" in sys.argv:
        _publish_all(Path(sys.argv[2]), sys.argv[3])
        sys.exit(0)
    sys.exit(main())
