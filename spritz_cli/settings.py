"""The only reader of the environment. Flags beat it, it beats `pyproject.toml`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spritz_cli.errors import UsageError
from spritz_cli.models import Location, parse_location

PACKAGE = Path(__file__).parent

RENDER_SECONDS = 600.0

MAX_TTL_DAYS = 3_650
MAX_QUOTA_GB = 1_000_000
MAX_USD = 1_000_000
MAX_DEADLINE_SECONDS = 86_400

#: Field of Settings -> environment variable. `[tool.vidgen]` uses the field names.
VARIABLES = {
    "redis_url": "REDIS_URL",
    "catalog": "VIDGEN_CATALOG",
    "videos_dir": "VIDGEN_VIDEOS_DIR",
    "state_dir": "VIDGEN_STATE_DIR",
    "url_prefix": "VIDGEN_URL_PREFIX",
    "ttl_days": "VIDGEN_TTL_DAYS",
    "disk_quota_gb": "VIDGEN_DISK_QUOTA_GB",
    "queue": "VIDGEN_QUEUE",
    "log": "VIDGEN_LOG",
    "provider": "VIDGEN_PROVIDER",
    "base_url": "VIDGEN_BASE_URL",
    "model": "VIDGEN_MODEL",
    "price_per_second_usd": "VIDGEN_PRICE_PER_SECOND_USD",
    "provider_deadline_seconds": "VIDGEN_PROVIDER_DEADLINE_SECONDS",
    "daily_budget_usd": "VIDGEN_DAILY_BUDGET_USD",
}


@dataclass(frozen=True)
class Settings:
    """Where things are and how long they live; paths are absolute."""

    catalog: Path
    scenes: Path
    videos_dir: Location
    state_dir: Path
    redis_url: str | None = None
    url_prefix: str = "/videos"
    key_prefix: str = "video:"
    ttl_days: float = 30.0
    disk_quota_gb: float = 5.0
    queue: str = "video_generation"
    log: str = "WARNING"
    provider: str | None = None
    base_url: str | None = None
    model: str | None = None
    price_per_second_usd: float | None = None
    provider_deadline_seconds: float = 900.0
    daily_budget_usd: float = 5.0

    @property
    def job_timeout(self) -> float:
        """Seconds that one film may take: the drawing, and before it the provider's time."""
        return RENDER_SECONDS + (2 * self.provider_deadline_seconds if self.provider else 0.0)

    def environment(self) -> dict[str, str]:
        """Return the variables that give a child process these same settings."""
        values = {variable: getattr(self, name) for name, variable in VARIABLES.items()}
        return {variable: str(value) for variable, value in values.items() if value is not None}


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **flags: Any,
) -> Settings:
    """Resolve flags, environment and `[tool.vidgen]` of `cwd/pyproject.toml`, in this order."""
    environ = os.environ if environ is None else environ
    cwd = (cwd or Path.cwd()).absolute()
    values = _from_pyproject(cwd / "pyproject.toml")
    values |= {
        name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)
    }
    values |= {name: value for name, value in flags.items() if value is not None}
    catalog = _path(cwd, values.pop("catalog", None)) or _default_catalog(cwd)
    return Settings(
        catalog=catalog,
        scenes=scenes_for(catalog),
        videos_dir=parse_location(values.pop("videos_dir", "videos"), cwd),
        state_dir=_path(cwd, values.pop("state_dir", None)) or cwd / ".vidgen",
        **{name: _parse(name, value) for name, value in values.items()},
    )


def secret(names: Iterable[str]) -> str | None:
    """Return the first of these variables that is set. Not a setting: it is never handed on."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def shipped(name: str) -> Path:
    """Return a file or folder that ships with vidgen: package data, or the source checkout."""
    installed = PACKAGE / "data" / name
    return installed if installed.exists() else PACKAGE.parent / name


def scenes_for(catalog: Path) -> Path:
    """Return the folder of the scene files that a catalog draws by default."""
    folder = beside(catalog, "svg_templates")
    return folder if _is_there(folder) and folder.is_dir() else shipped("svg_templates")


def beside(catalog: Path, name: str) -> Path:
    """Return the file or folder beside a catalog, or else beside the one that it is a link to."""
    here = catalog.parent / name
    there = Path(os.path.realpath(catalog)).parent / name
    return here if _is_there(here) or not _is_there(there) else there


def _is_there(path: Path) -> bool:
    # Path.exists() raises if a folder may not be searched: reading the catalog says so better.
    return os.access(path, os.F_OK)


def _default_catalog(cwd: Path) -> Path:
    local = cwd / "templates.yaml"
    return local if local.exists() else shipped("templates.yaml")


def _path(cwd: Path, value: str | Path | None) -> Path | None:
    return None if value is None else cwd / Path(value).expanduser()


def _from_pyproject(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        import tomllib

        document = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as exc:
        raise UsageError(f"{path}: {exc}", hint="Mend the file or run vidgen elsewhere.") from exc
    tool = document.get("tool", {})
    table = tool.get("vidgen", {}) if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [tool.vidgen] must be a table", hint="Write key = value lines.")
    unknown = sorted(set(table) - set(VARIABLES))
    if unknown:
        raise UsageError(
            f"{path}: [tool.vidgen] has unknown keys: {', '.join(unknown)}",
            hint=f"Known keys: {', '.join(sorted(VARIABLES))}.",
        )
    return dict(table)


def _parse(name: str, value: Any) -> Any:
    parser = _PARSERS.get(name)
    return parser(VARIABLES[name], value) if parser else str(value)


def _at_most(limit: int, *, zero: bool = False) -> Callable[[str, Any], float]:
    def parse(variable: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number <= limit or (number == 0 and not zero):
            bounds = f"a number {'from' if zero else 'above'} 0 and at most {limit:,}"
            raise UsageError(f"{variable} must be {bounds}, got {value!r}")
        return number

    return parse


def _level(variable: str, value: Any) -> str:
    level = str(value).upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise UsageError(f"{variable} must be DEBUG, INFO, WARNING or ERROR, got {value!r}")
    return level


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "ttl_days": _at_most(MAX_TTL_DAYS),
    "disk_quota_gb": _at_most(MAX_QUOTA_GB),
    "price_per_second_usd": _at_most(MAX_USD, zero=True),
    "provider_deadline_seconds": _at_most(MAX_DEADLINE_SECONDS),
    "daily_budget_usd": _at_most(MAX_USD, zero=True),
    "log": _level,
}
