"""`vidgen doctor`: what this machine lacks, and the command that repairs it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.options import Json, settings_of
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.units import counted, size
from spritz_cli.errors import CatalogError, InfrastructureError, VidgenError
from spritz_cli.models import ObjectPath
from spritz_cli.settings import GIGABYTE, Settings

State = Literal["ok", "warn", "FAIL"]

COLUMNS = (
    Column("CHECK"),
    Column("STATE"),
    Column("FOUND", below=True),
    Column("WHAT TO DO", below=True),
)

STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}

#: Signs that films use; a font that lacks one of them is the wrong font.
CANARY = "AZaz09$%,.:−–—’“”·×→é"

LITTLE_SPACE = GIGABYTE
NO_SPACE = GIGABYTE // 10

CAIRO_INSTALLERS = {
    "apt-get": "apt-get install -y libcairo2",
    "dnf": "dnf install cairo",
    "apk": "apk add cairo",
    "brew": "brew install cairo",
}


@dataclass(frozen=True)
class Check:
    """One check: its result, what was found, and how to fix it."""

    name: str
    state: State
    detail: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand,
        epilog="Exit codes: 0 nothing failed (warnings may remain), 2 usage, 3 a check failed.",
    )(doctor)


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check this machine and say how to fix what is missing.

    Example: vidgen doctor
    """
    settings = settings_of(context)
    checks = [_isolated(name, look, settings) for name, look in CHECKS.items()]
    if as_json:
        console.document("doctor", {"checks": [_fields(check) for check in checks]})
    else:
        console.table(COLUMNS, [_row(check) for check in checks])
    if any(check.state == "FAIL" for check in checks):
        raise typer.Exit(InfrastructureError.exit_code)


def _fields(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "status": check.state.lower(),
        "message": check.detail,
        "hint": check.fix,
    }


def _row(check: Check) -> list[str | Cell]:
    return [check.name, Cell(check.state, STYLES[check.state]), check.detail, check.fix]


def _isolated(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    """Run one check; any error is what it found, and the other checks still run."""
    try:
        return look(settings)
    except VidgenError as error:
        return Check(name, "FAIL", error.message, error.hint)
    except Exception as error:  # noqa: BLE001 - one check must not stop the others
        fix = "Reinstall vidgen and its dependencies."
        return Check(name, "FAIL", f"{type(error).__name__}: {error}", fix)


def _python(_: Settings) -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _libcairo(_: Settings) -> Check:
    import ctypes
    from ctypes.util import find_library

    try:
        import_module("spritz_cli.scene.canvas")
    except VidgenError as error:
        return Check("libcairo", "FAIL", error.message, _cairo_fix(error.hint))
    file = find_library("cairo")
    describe = ctypes.CDLL(file).cairo_version_string
    describe.restype = ctypes.c_char_p
    return Check("libcairo", "ok", f"{describe().decode()}, {file}")


def _cairo_fix(otherwise: str) -> str:
    installers = [command for tool, command in CAIRO_INSTALLERS.items() if shutil.which(tool)]
    return f"Run: {installers[0]}" if installers else otherwise


def _ffmpeg(_: Settings) -> Check:
    from spritz_cli.media import ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "check.mp4"
        ffmpeg.encode([bytes(4 * 64 * 64)] * 3, film, width=64, height=64, fps=30)
        frames = ffmpeg.probe(film).frames
    return Check("ffmpeg", "ok", f"{ffmpeg.version()}, {frames} frames there and back")


def _font(_: Settings) -> Check:
    from spritz_cli.scene import font, text

    missing = text.missing_glyphs(CANARY)
    if missing:
        fix = "Reinstall the package fontpkg-figtree."
        return Check("font", "FAIL", f"{font.FAMILY} lacks {' '.join(missing)}", fix)
    return Check("font", "ok", f"{font.FAMILY}, {font.font_file().name}")


def _redis(settings: Settings) -> Check:
    from spritz_cli.storage.redis.connection import open_redis, printable, writable
    from spritz_cli.storage.redis.errors import redis_errors

    with open_redis(settings) as redis, redis_errors():
        writable(redis.client)
        facts = redis.client.info()
        where = "embedded" if redis.embedded else printable(redis.url)
    server = facts.get("server_name", "redis")
    version = facts.get(f"{server}_version", facts.get("redis_version"))
    policy = facts.get("maxmemory_policy", "noeviction")
    detail = f"{server} {version}, {where}"
    if policy != "noeviction":
        fix = "Set maxmemory-policy to noeviction: this one may drop entries and jobs."
        return Check("redis", "warn", f"{detail}, {policy}", fix)
    return Check("redis", "ok", detail)


def _videos_dir(settings: Settings) -> Check:
    if isinstance(settings.videos_dir, ObjectPath):
        return _bucket(settings, settings.videos_dir)
    return _folder("videos directory", settings.videos_dir, "--videos-dir or VIDGEN_VIDEOS_DIR")


def _bucket(settings: Settings, place: ObjectPath) -> Check:
    from spritz_cli.bootstrap import open_bucket

    bucket = open_bucket(settings, place)
    detail = f"{place} on {bucket.server}, written, listed, read and deleted"
    if bucket.probe():
        return Check("videos directory", "ok", detail)
    fix = "Use a server with conditional writes if hosts share it: they guard the paid orders."
    return Check("videos directory", "warn", f"{detail}; it ignores If-None-Match", fix)


def _state_dir(settings: Settings) -> Check:
    return _folder("state directory", settings.state_dir, "--state-dir or VIDGEN_STATE_DIR")


def _folder(name: str, path: Path, option: str) -> Check:
    existing, usable = _nearest(path)
    if not usable:
        fix = f"Make {existing} a writable directory, or choose another with {option}."
        return Check(name, "FAIL", f"{path} cannot be written", fix)
    free = shutil.disk_usage(existing).free
    detail = f"{path}, {size(free)} free"
    if free < LITTLE_SPACE:
        fix = "Free some space; vidgen cleanup --dry-run shows what can go."
        return Check(name, "FAIL" if free < NO_SPACE else "warn", detail, fix)
    return Check(name, "ok", detail)


def _nearest(path: Path) -> tuple[Path, bool]:
    """Return the path or its closest parent that is there, and whether we can write to it."""
    try:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
    except PermissionError:
        # Whether it is there cannot even be looked up.
        return path.parent, False
    return existing, existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _catalog(settings: Settings) -> Check:
    from spritz_cli.catalog.loader import load_catalog

    try:
        catalog = load_catalog(settings.catalog, settings.scenes)
    except CatalogError as error:
        return Check("catalog", "FAIL", error.message, "Run: vidgen lint")
    return Check("catalog", "ok", f"{settings.catalog}, {counted(len(catalog.templates), 'film')}")


def _footage(settings: Settings) -> Check:
    from spritz_cli.catalog.providers import provider_files, provider_problems

    check = _provider(settings)
    problems = provider_problems(provider_files(settings.catalog))
    if check.state != "ok" or not problems:
        return check
    return Check("footage", "warn", f"{check.detail}; {problems[0]}", problems[0].hint)


def _provider(settings: Settings) -> Check:
    from datetime import UTC, datetime

    from spritz_cli.bootstrap import provider_profile
    from spritz_cli.settings import secret

    profile = provider_profile(settings)
    if profile is None:
        return Check("footage", "ok", "no provider: every film is an animated infographic")
    detail = f"{profile.model} from {profile.name}, {profile.base_url}"
    if profile.is_retired(datetime.now(UTC).date(), profile.model):
        fix = "Set VIDGEN_PROVIDER, VIDGEN_MODEL or VIDGEN_BASE_URL to what serves footage now."
        return Check("footage", "warn", f"{detail}: shut down by its provider", fix)
    if profile.auth != "none" and not secret(profile.api_key_env):
        fix = f"Set {' or '.join(profile.api_key_env)}, unless the server asks for no key."
        return Check("footage", "warn", f"{detail}, without a key", fix)
    if not profile.is_priced(profile.model):
        fix = "Set VIDGEN_PRICE_PER_SECOND_USD, or its price in providers.yaml."
        return Check("footage", "warn", f"{detail}, of unknown price", fix)
    return Check("footage", "ok", detail)


CHECKS: dict[str, Callable[[Settings], Check]] = {
    "python": _python,
    "libcairo": _libcairo,
    "ffmpeg": _ffmpeg,
    "font": _font,
    "redis": _redis,
    "videos directory": _videos_dir,
    "state directory": _state_dir,
    "catalog": _catalog,
    "footage": _footage,
}
