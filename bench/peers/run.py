"""Makes the peer scene with every tool, measures whole processes, prints a table.

usage: .venv/bin/python bench/peers/run.py [--runs N] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from spritz_cli.media import ffmpeg

FOLDER = Path(__file__).resolve().parent
ENV, OUT = FOLDER / ".env", FOLDER / ".out"
BUNDLE = ENV / "remotion" / "bundle"
WIDTH, HEIGHT, FPS, FRAMES = 1280, 720, 30, 150
SHEET_FRAME = 75
#: Seconds that processes which a tool leaves behind have to end by themselves.
LINGER = 10.0
#: A run is left out of the medians if other programs kept more cores busy than this.
DISTURBED = 0.2
#: Seconds that each run waits at most for the machine to be idle.
QUIET = 20.0


@dataclass(frozen=True)
class Peer:
    """A tool: `command`, with the path of the output appended, makes the film."""

    name: str
    command: tuple[str, ...]
    stdin: Path | None = None


@dataclass(frozen=True)
class Run:
    """One process with everything that it started; seconds, KiB and bytes."""

    wall: float
    user: float
    system: float
    peak_rss_kib: int
    bytes: int
    others: float
    """Cores that other programs kept busy during the run."""

    @property
    def cpu(self) -> float:
        return self.user + self.system


@dataclass(frozen=True)
class Pair:
    """A run, and the run of the encoder alone right after it."""

    run: Run
    floor: Run

    @property
    def is_quiet(self) -> bool:
        return max(self.run.others, self.floor.others) <= DISTURBED


def main() -> None:
    options = _options()
    OUT.mkdir(exist_ok=True)
    _write_encoder()
    _bundle()
    with _raw_frames() as raw:
        floor, peers = _floor(raw), _chosen(options.only)
        for peer in (floor, *peers):
            _say(f"warming up: {peer.name}")
            _measure(peer)
            _check(peer)
        load = _calm(options.wait)
        pairs = _measure_all(floor, peers, options.runs)
    rows = [_floor_row(pairs), *(_row(peer.name, pairs[peer.name]) for peer in peers)]
    _say(_table(rows))
    report = {"machine": _machine(load), "versions": _versions(), "runs": options.runs}
    if options.json:
        options.json.write_text(json.dumps(report | {"rows": rows}, indent=2) + "\n", "utf-8")
    _make_sheet([floor, *peers], options.sheet)
    _say(f"frame {SHEET_FRAME} of each: {options.sheet}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    names = [peer.name for peer in _peers()]
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (5)")
    parser.add_argument("--only", nargs="+", choices=names, help="these tools instead of all")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--sheet", type=Path, default=OUT / "sheet.png", help="comparison sheet")
    parser.add_argument(
        "--wait", type=float, default=900, help="wait this long for a load below 2 (900 s)"
    )
    return parser.parse_args()


def _peers() -> list[Peer]:
    cairosvg, moviepy, manim = (
        str(ENV / name / "bin" / "python") for name in ("cairosvg", "moviepy", "manim")
    )
    node = shutil.which("node") or "node"
    remotion = (node, str(FOLDER / "remotion/render.mjs"), str(BUNDLE))
    return [
        Peer("vidgen", (sys.executable, str(FOLDER / "ours.py"))),
        Peer("canvas", (node, str(FOLDER / "canvas/render.mjs"))),
        Peer("cairosvg-split", (cairosvg, str(FOLDER / "peer_cairosvg.py"), "split")),
        Peer("cairosvg-raw", (cairosvg, str(FOLDER / "peer_cairosvg.py"), "raw")),
        Peer("cairosvg-png", (cairosvg, str(FOLDER / "peer_cairosvg.py"), "png")),
        Peer("moviepy-cairosvg", (moviepy, str(FOLDER / "peer_moviepy.py"), "cairosvg")),
        Peer("moviepy-own", (moviepy, str(FOLDER / "peer_moviepy.py"), "own")),
        Peer("moviepy-own-flat", (moviepy, str(FOLDER / "peer_moviepy.py"), "own-flat")),
        Peer("manim", (manim, str(FOLDER / "peer_manim.py"), "integers")),
        Peer("manim-outlines", (manim, str(FOLDER / "peer_manim.py"), "outlines")),
        Peer("remotion-jpeg", (*remotion, "jpeg")),
        Peer("remotion-png", (*remotion, "png")),
    ]


def _chosen(names: Sequence[str] | None) -> list[Peer]:
    peers = [peer for peer in _peers() if not names or peer.name in names]
    for peer in peers:
        if not shutil.which(peer.command[0]):
            sys.exit(f"error: {peer.name} is not installed\nhint: sh bench/peers/setup")
    return peers


def _write_encoder() -> None:
    """Write vidgen's encoder and its settings to a file for the peers."""
    encoder = {"ffmpeg": ffmpeg.binary(), "settings": ffmpeg.ENCODER_SETTINGS}
    (OUT / "encoder.json").write_text(json.dumps(encoder, indent=2) + "\n", "utf-8")


def _bundle() -> None:
    """Bundle Remotion's scene, unless the bundle is newer than its sources."""
    sources = [*(FOLDER / "remotion").glob("src/*"), *(FOLDER / "scene").iterdir()]
    page = BUNDLE / "index.html"
    newest = max(source.stat().st_mtime for source in sources)
    if not page.exists() or page.stat().st_mtime < newest:
        command = ["node", str(FOLDER / "remotion/bundle.mjs"), str(BUNDLE)]
        subprocess.run(command, check=True)


@contextmanager
def _raw_frames() -> Iterator[Path]:
    """Draw the scene into a file in memory, the input for measuring the encoder alone."""
    shared = Path("/dev/shm")  # noqa: S108 - a private folder is made inside
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        path = Path(folder) / "frames.raw"
        subprocess.run([sys.executable, str(FOLDER / "ours.py"), str(path)], check=True)
        yield path


def _floor(raw: Path) -> Peer:
    reading = ["-f", "rawvideo", "-pix_fmt", "bgr0", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS)]
    command = [ffmpeg.binary(), "-hide_banner", "-nostdin", "-v", "error", "-y", *reading]
    return Peer("encode only", (*command, "-i", "-", *ffmpeg.ENCODER_SETTINGS), stdin=raw)


def _calm(seconds: float) -> float:
    """Wait for an idle machine, at most `seconds`; return its load average."""
    deadline = time.monotonic() + seconds
    while os.getloadavg()[0] >= 2 and time.monotonic() < deadline:
        time.sleep(5)
    load = os.getloadavg()[0]
    _say(f"load average {load:.2f}" + (": too busy for numbers to quote" if load >= 2 else ""))
    return load


def _quiet_moment(seconds: float) -> None:
    """Wait for half a second in which the cores are idle, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = _busy_seconds()
        time.sleep(0.5)
        if _busy_seconds() - before < 0.1:
            return


def _measure_all(floor: Peer, peers: Sequence[Peer], runs: int) -> dict[str, list[Pair]]:
    pairs: dict[str, list[Pair]] = {peer.name: [] for peer in peers}
    for index in range(runs):
        for peer in peers:
            _say(f"run {index + 1} of {runs}: {peer.name}")
            _quiet_moment(QUIET)
            pairs[peer.name].append(Pair(_measure(peer), _measure(floor)))
    return pairs


def _measure(peer: Peer) -> Run:
    """Run a tool to its end and add up the time of every process that it started."""
    _adopt_orphans()
    output = _film(peer)
    output.unlink(missing_ok=True)
    with _log(peer).open("wb") as log, (peer.stdin or Path(os.devnull)).open("rb") as stdin:
        busy, started = _busy_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [*peer.command, str(output)],
            stdin=stdin,
            stdout=log,
            stderr=log,
            env=os.environ | {"FONTCONFIG_FILE": str(ENV / "fonts.conf")},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall, busy = time.perf_counter() - started, _busy_seconds() - busy
    process.returncode = os.waitstatus_to_exitcode(status)
    usages = [usage, *_orphans(peer)]
    if process.returncode != 0:
        sys.exit(f"error: {peer.name} failed\n{_log(peer).read_text('utf-8')}")
    user = sum(usage.ru_utime for usage in usages)
    system = sum(usage.ru_stime for usage in usages)
    return Run(
        wall=wall,
        user=user,
        system=system,
        peak_rss_kib=max(usage.ru_maxrss for usage in usages),
        bytes=output.stat().st_size,
        others=max(0.0, (busy - user - system) / wall),
    )


def _busy_seconds() -> float:
    """Return the CPU time that this machine has spent since it started."""
    user, nice, system, _, _, interrupts, soft, stolen = (
        int(field) for field in Path("/proc/stat").read_text("ascii").split()[1:9]
    )
    ticks = user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that their time can be counted."""
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def _orphans(peer: Peer) -> list[Any]:
    usages: list[Any] = []
    deadline = time.monotonic() + LINGER
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return usages
        if pid:
            usages.append(usage)
        elif time.monotonic() > deadline:
            _say(f"{peer.name} left processes running; they are killed")
            _stop_children()
        else:
            time.sleep(0.01)


def _stop_children() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
    for pid in children.split():
        os.kill(int(pid), signal.SIGKILL)


def _check(peer: Peer) -> None:
    """Exit with an error unless the film is the whole scene; save a frame of it."""
    probe = ffmpeg.probe(_film(peer))
    if (probe.frames, probe.width, probe.height) != (FRAMES, WIDTH, HEIGHT):
        sys.exit(f"error: {peer.name} made {probe.frames} frames, {probe.width}x{probe.height}")
    command = [ffmpeg.binary(), "-v", "error", "-y", "-i", str(_film(peer))]
    command += ["-vf", rf"select=eq(n\,{SHEET_FRAME})", "-frames:v", "1", str(_still(peer))]
    subprocess.run(command, check=True)


def _floor_row(pairs: dict[str, list[Pair]]) -> dict[str, Any]:
    runs = [pair.floor for each in pairs.values() for pair in each]
    return _row("encode only", [Pair(run, run) for run in runs])


def _row(name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    quiet = [pair for pair in pairs if pair.is_quiet]
    all_pairs, pairs = pairs, quiet or pairs
    runs = [pair.run for pair in pairs]
    wall, cpu = median(run.wall for run in runs), median(run.cpu for run in runs)
    return {
        "name": name,
        "frames_per_second": FRAMES / wall,
        "wall_seconds": wall,
        "wall_seconds_min": min(run.wall for run in runs),
        "wall_seconds_max": max(run.wall for run in runs),
        "cpu_seconds": cpu,
        "wall_ratio": median(pair.run.wall / pair.floor.wall for pair in pairs),
        "cpu_ratio": median(pair.run.cpu / pair.floor.cpu for pair in pairs),
        "quiet_runs": len(quiet),
        "counted_runs": len(all_pairs),
        "peak_rss_mb": max(run.peak_rss_kib for run in runs) * 1024 / 1e6,
        "bytes": runs[-1].bytes,
        "runs": [asdict(pair) for pair in all_pairs],
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| tool | frames/s | wall s [min–max] | ÷ encode only | CPU s | ÷ encode only "
        "| largest process MB | film bytes | quiet runs |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_LINE.format(**row) for row in rows]
    return "\n".join(lines)


_LINE = (
    "| {name} | {frames_per_second:.1f} "
    "| {wall_seconds:.2f} [{wall_seconds_min:.2f}–{wall_seconds_max:.2f}] | {wall_ratio:.2f} "
    "| {cpu_seconds:.2f} | {cpu_ratio:.2f} | {peak_rss_mb:.0f} | {bytes:,} "
    "| {quiet_runs} of {counted_runs} |"
)


def _machine(load: float) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }


def _versions() -> dict[str, str]:
    """Return the version of every tool: the pinned one, or what the tool reports."""
    versions = {"ffmpeg": ffmpeg.version()}
    versions |= {"node": _version("node"), "chromium": _version(_CHROMIUM)}
    for requirements in sorted((FOLDER / "requirements").iterdir()):
        pins = dict(line.split("==") for line in requirements.read_text("ascii").split())
        versions |= {name: pins[name] for name in ("CairoSVG", "moviepy", "manim") if name in pins}
    for package in sorted(FOLDER.glob("*/package.json")):
        versions |= json.loads(package.read_text("utf-8"))["dependencies"]
    return versions


_CHROMIUM = "chromium-headless-shell"


def _version(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        return "absent"
    process = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return process.stdout.strip()


def _make_sheet(peers: Sequence[Peer], path: Path) -> None:
    # Imported last: a child starts with the memory of its parent, which counts as its peak.
    from PIL import Image, ImageDraw

    from spritz_cli.media.poster import save_png, sheet

    pictures = []
    for peer in peers:
        picture = Image.open(_still(peer)).convert("RGB").resize((WIDTH // 2, HEIGHT // 2))
        ImageDraw.Draw(picture).text(
            (WIDTH // 2 - 12, 6), peer.name, fill="#B23A1E", font_size=18, anchor="ra"
        )
        pictures.append(picture)
    save_png(sheet(pictures, 3), path)


def _film(peer: Peer) -> Path:
    return OUT / f"{peer.name.replace(' ', '-')}.mp4"


def _log(peer: Peer) -> Path:
    return _film(peer).with_suffix(".log")


def _still(peer: Peer) -> Path:
    return _film(peer).with_suffix(".png")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
