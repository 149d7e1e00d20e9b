"""Measures how fast this machine makes films: CPU by stage, relative to the encoder alone.

Machines are noisy, so figures are CPU seconds, and ratios of runs that alternate.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spritz_cli.bootstrap import open_services
from spritz_cli.films import planning
from spritz_cli.media import ffmpeg
from spritz_cli.models import RenderedFilm, Template
from spritz_cli.scene import tokens
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import parse
from spritz_cli.scene.drawing import Scene, held, times
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.settings import PACKAGE, Settings
from spritz_cli.storage.leases import Leases
from spritz_cli.tiers.static import StaticTier

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.catalog.loader import Catalog

STAGES = ("template", "parse", "draw", "hand-over", "encode", "check")

#: Raw frames take about 110 MB per second of film: kept in memory if there is room.
FAST_FOLDER = Path("/dev/shm")  # noqa: S108 - a private folder is made inside

#: How many films are published when `status` and `plan` are timed.
GROWTH = (20, 200, 2_000, 20_000)


@dataclass(frozen=True)
class FilmFigures:
    """One film. `stages` and `floor` are CPU seconds per second of film.

    `floor` is that of ffmpeg alone on the same raw frames, `ratio` is the total divided by
    it, and `frames_per_second` is by the wall clock.
    """

    name: str
    seconds: float
    stages: dict[str, float]
    floor: float
    ratio: float
    frames_per_second: float

    @property
    def total(self) -> float:
        return sum(self.stages.values())


@dataclass(frozen=True)
class CommandFigures:
    """A whole process: medians of its wall and CPU seconds."""

    command: str
    wall: float
    cpu: float


@dataclass(frozen=True)
class GrowthFigures:
    """CPU seconds of status and plan with `films` published films, and peak memory in bytes."""

    films: int
    status: float
    plan: float
    peak_bytes: int


def measure_film(template: Template, library: SceneLibrary, runs: int) -> FilmFigures:
    """Make a film `runs` times, each followed by the encoder alone; return medians."""
    scene = library.open(template)
    with _work_folder(scene) as folder:
        raw, video = folder / "frames.raw", folder / "film.mp4"
        _write_raw(scene, raw)
        figures, floors = [], []
        for _ in range(runs):
            figures.append(_make(scene, video))
            floors.append(_children_cpu(lambda: _encode_file(raw, video)))
    stages = {name: statistics.median(run[name] for run in figures) for name in STAGES}
    wall = statistics.median(run["wall"] for run in figures)
    floor = statistics.median(floors)
    per_second = {name: cpu / scene.duration for name, cpu in stages.items()}
    return FilmFigures(
        template.name,
        scene.duration,
        per_second,
        floor / scene.duration,
        sum(stages.values()) / floor,
        scene.duration * tokens.FPS / wall,
    )


@contextmanager
def current_project(catalog: Catalog, library: SceneLibrary) -> Iterator[Settings]:
    """Yield settings of a temporary store in which every film of a catalog is current.

    The films are small placeholder files. The user's own store is not touched.
    """
    tier = StaticTier(library)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(catalog.path, library.folder, folder / "videos", folder / "state")
        with open_services(settings) as services:
            for template in catalog.templates:
                _publish(template, tier, folder, services)
        yield settings


def measure_command(arguments: Sequence[str], settings: Settings, runs: int) -> CommandFigures:
    """Run vidgen with these settings; the first run warms the caches and does not count."""
    figures = [_run(arguments, settings) for _ in range(runs + 1)][1:]
    return CommandFigures(
        "vidgen " + " ".join(arguments),
        statistics.median(wall for wall, _ in figures),
        statistics.median(cpu for _, cpu in figures),
    )


def measure_growth(template: Template, library: SceneLibrary) -> Iterator[GrowthFigures]:
    """Time status and plan with more and more films, in a temporary store and server."""
    tier = StaticTier(library)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(folder, library.folder, folder / "videos", folder / "state")
        with open_services(settings) as services:
            templates: list[Template] = []
            for entries in GROWTH:
                for index in range(len(templates), entries):
                    templates.append(
                        replace(template, persona=f"p{index % 100}", topic=f"t{index}")
                    )
                    _publish(templates[-1], tier, folder, services)
                status = _own_cpu(lambda: services.manifest.peek_many(templates))
                plan = _own_cpu(lambda: _plan(templates, services, tier))
                yield GrowthFigures(entries, status, plan, peak_bytes())


def peak_bytes(children: bool = False) -> int:
    """Return the peak memory of this process, or of its largest child."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * 1024


def _make(scene: Scene, video: Path) -> dict[str, float]:
    """Make a film as the static tier does and time every stage."""
    spent = dict.fromkeys(STAGES, 0.0)
    began, encoded = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    own = _own_cpu(lambda: _encode(scene, video, spent))
    spent["hand-over"] = own - spent["template"] - spent["parse"] - spent["draw"]
    spent["encode"] = _cpu(resource.getrusage(resource.RUSAGE_CHILDREN)) - _cpu(encoded)
    spent["check"] = _children_cpu(lambda: ffmpeg.probe(video))
    return spent | {"wall": time.monotonic() - began}


def _encode(scene: Scene, video: Path, spent: dict[str, float]) -> None:
    began = time.process_time()
    still = held(scene)
    spent["template"] = time.process_time() - began
    ffmpeg.encode(
        _timed_frames(scene, spent, still),
        video,
        width=tokens.WIDTH,
        height=tokens.HEIGHT,
        fps=tokens.FPS,
        held=still,
    )


def _timed_frames(scene: Scene, spent: dict[str, float], still: int = 0) -> Iterator[bytearray]:
    canvas = Canvas(tokens.WIDTH, tokens.HEIGHT)
    shown = None
    for t in list(times(scene.duration))[: -still or None]:
        began = time.process_time()
        svg = scene.svg(t)
        rendered = time.process_time()
        spent["template"] += rendered - began
        if svg != shown:
            items = parse(svg)
            parsed = time.process_time()
            canvas.show(items)
            spent["parse"] += parsed - rendered
            spent["draw"] += time.process_time() - parsed
            shown = svg
        yield canvas.pixels


def _write_raw(scene: Scene, raw: Path) -> None:
    with raw.open("wb") as file:
        for frame in _timed_frames(scene, dict.fromkeys(STAGES, 0.0)):
            file.write(frame)


def _encode_file(raw: Path, video: Path) -> None:
    ffmpeg.encode_file(raw, video, width=tokens.WIDTH, height=tokens.HEIGHT, fps=tokens.FPS)


@contextmanager
def _work_folder(scene: Scene) -> Iterator[Path]:
    needed = round(scene.duration * tokens.FPS) * tokens.WIDTH * tokens.HEIGHT * 4
    with tempfile.TemporaryDirectory(dir=_roomy(needed)) as name:
        yield Path(name)


def _roomy(needed: int) -> Path | None:
    if not os.access(FAST_FOLDER, os.W_OK):
        return None
    room = os.statvfs(FAST_FOLDER)
    return FAST_FOLDER if room.f_bavail * room.f_frsize > 2 * needed else None


def _plan(
    templates: Sequence[Template], services: Services, tier: StaticTier
) -> tuple[planning.PlanItem, ...]:
    return planning.plan(replace(services.studio, tiers=(tier,)), templates)


def _publish(template: Template, tier: StaticTier, folder: Path, services: Services) -> None:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    video, poster, captions = (scratch / f"film.{kind}" for kind in ("mp4", "webp", "vtt"))
    for path in (video, poster, captions):
        path.write_text(template.name, "utf-8")
    inputs = tier.inputs(template)
    seconds = float(template.duration_seconds)
    published = services.store.publish(
        RenderedFilm(video, poster, captions, seconds, tokens.WIDTH, tokens.HEIGHT),
        template,
        tier="static",
        fingerprint=planning.fingerprint(template, (tier,)),
        inputs=inputs,
        created_at="2026-01-01T00:00:00.000+00:00",
    )
    leases: Leases = services.leases
    lease = leases.acquire(template.key)
    if lease is not None:
        with lease:
            services.manifest.publish(published, lease)


def _run(arguments: Sequence[str], settings: Settings) -> tuple[float, float]:
    # Without the caller's settings and pyproject.toml: `warm` must find nothing to make.
    prefixes = ("VIDGEN_", "REDIS_URL")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(prefixes)}
    environment |= settings.environment() | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "spritz_cli", *arguments]
    folder = settings.state_dir.parent
    began = time.monotonic()
    cpu = _children_cpu(
        lambda: subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, check=True
        )
    )
    return time.monotonic() - began, cpu


def _own_cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _children_cpu(work: Callable[[], Any]) -> float:
    began = _cpu(resource.getrusage(resource.RUSAGE_CHILDREN))
    work()
    return _cpu(resource.getrusage(resource.RUSAGE_CHILDREN)) - began


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime
