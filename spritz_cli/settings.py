"""Settings: flags beat the environment, the environment beats `[tool.vidgen]`, it beats defaults.

No other module reads a setting or a secret from the environment. Others read what it says about
the machine (NO_COLOR and TERM in `cli.console`, IMAGEIO_FFMPEG_EXE in `media.ffmpeg`), look for
misspelt names (`cli.variables`) or hand it on to child processes; the libraries read what is
theirs: botocore AWS_*, httpx the proxies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spritz_cli.errors import UsageError
from spritz_cli.models import Location, parse_location

PACKAGE = Path(__file__).parent

RENDER_SECONDS = 600.0

#: Bytes in a gigabyte: decimal, as sizes are printed.
GIGABYTE = 10**9

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


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


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
    def disk_quota_bytes(self) -> int:
        """What films may take up before a cleanup evicts the least recently used."""
        return round(self.disk_quota_gb * GIGABYTE)

    @property
    def job_timeout(self) -> float:
        """Seconds that one film may take: the drawing, and before it the provider's time."""
        return RENDER_SECONDS + (2 * self.provider_deadline_seconds if self.provider else 0.0)

    def environment(self) -> dict[str, str]:
        """Return the variables that give a child process these same settings."""
        values = {variable: getattr(self, name) for name, variable in VARIABLES.items()}
        return {variable: str(value) for variable, value in values.items() if value is not None}


Origin = Literal["flag", "environment", "pyproject", "default"]


class Given(NamedTuple):
    """A setting as somebody wrote it, unchecked; `where` is the flag, the variable or the file."""

    value: Any
    origin: Origin
    where: str


class Project(NamedTuple):
    """The folder that defaults count from: the nearest one upward with a `[tool.vidgen]`.

    Without one it is the working directory and `file` is None. `unreadable` says which
    pyproject.toml on the way is not TOML, and why.
    """

    folder: Path
    file: Path | None = None
    table: Mapping[str, Any] = {}
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sources:
    """Every setting that somebody wrote, before it is checked.

    Paths of a pyproject.toml, and all defaults, count from the project's folder; other
    paths from the working directory.
    """

    cwd: Path
    project: Project
    given: Mapping[str, Given] = field(default_factory=dict)

    def origin(self, name: str) -> Given:
        """Return who set a setting; its value is None where nobody did."""
        return self.given.get(name) or Given(None, "default", "")

    def value(self, name: str) -> Any:
        """Return one setting, parsed; raises UsageError."""
        given = self.given.get(name)
        if given is None:
            return _DEFAULTS[name](self.project.folder) if name in _DEFAULTS else _plain(name)
        base = self.project.folder if given.origin == "pyproject" else self.cwd
        parse: Callable[[_Written], Any] = _PARSERS.get(name, _text)
        return parse(_Written(_label(name, given), given.value, base))

    @cached_property
    def settings(self) -> Settings:
        """All settings; raises UsageError about the first that makes no sense."""
        values = {name: self.value(name) for name in VARIABLES}
        return Settings(scenes=scenes_for(values["catalog"]), **values)


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **flags: Any,
) -> Settings:
    """Resolve flags, environment and the nearest `[tool.vidgen]` upward, in this order."""
    given = {name: Given(value, "flag", _flag(name)) for name, value in flags.items()}
    return read_sources(given, environ, cwd).settings


def read_sources(
    flags: Mapping[str, Given],
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Sources:
    """Collect what is set where, unchecked; a flag of None is not set.

    Raises UsageError if pyproject.toml is not valid or the working directory is gone.
    """
    environ = os.environ if environ is None else environ
    cwd = (cwd or _working_directory()).absolute()
    project = _find_project(cwd)
    given = {
        name: Given(value, "pyproject", str(project.file)) for name, value in project.table.items()
    }
    given |= {
        name: Given(environ[variable], "environment", variable)
        for name, variable in VARIABLES.items()
        if environ.get(variable)
    }
    given |= {name: flag for name, flag in flags.items() if flag.value is not None}
    return Sources(cwd, project, given)


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


def without_credentials(text: str) -> str:
    """Return a text with the user and password of every address in it hidden."""
    return re.sub(r"(://)[^/?#\s]*@", r"\1***@", text)


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as exc:
        raise UsageError(
            f"the working directory cannot be used: {exc.strerror}",
            hint="Change to a folder that exists, for example: cd ~",
        ) from exc


def _flag(name: str) -> str:
    return "--log-level" if name == "log" else f"--{name.replace('_', '-')}"


def _label(name: str, given: Given) -> str:
    return f"{name} in {given.where}" if given.origin == "pyproject" else given.where


# pyproject.toml

#: Shows that a file is meant for vidgen although it is not valid TOML.
_OUR_HEADER = re.compile(rb"^\s*\[+\s*tool\s*\.\s*[\"']?vidgen\b", re.MULTILINE)


class _NotToml(Exception):
    """A pyproject.toml is not valid TOML, and nothing shows that it has a `[tool.vidgen]`."""


def _find_project(cwd: Path) -> Project:
    unreadable: list[str] = []
    for folder in (cwd, *cwd.parents):
        file = folder / "pyproject.toml"
        try:
            table = _vidgen_table(file)
        except _NotToml as exc:
            unreadable.append(f"{file} is not valid TOML, vidgen does not look into it: {exc}")
        except OSError as exc:
            # The files in the folders above may belong to somebody else.
            if folder == cwd:
                hint = "Make it readable, or run vidgen in another folder."
                raise UsageError(f"{file}: {exc.strerror}", hint=hint) from exc
        else:
            if table is not None:
                return Project(folder, file, table, tuple(unreadable))
    return Project(cwd, unreadable=tuple(unreadable))


def _vidgen_table(file: Path) -> dict[str, Any] | None:
    """Return the `[tool.vidgen]` of a file, None if it has none; UsageError if it is not valid."""
    content = file.read_bytes() if _is_there(file) and file.is_file() else b""
    if b"vidgen" not in content:
        return None
    tool = _toml(file, content).get("tool")
    if not isinstance(tool, dict) or "vidgen" not in tool:
        return None
    table = tool["vidgen"]
    if not isinstance(table, dict):
        raise UsageError(f"{file}: [tool.vidgen] must be a table", hint="Write key = value lines.")
    _require_known(file, table)
    return table


def _toml(file: Path, content: bytes) -> dict[str, Any]:
    import tomllib

    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as exc:
        if not _OUR_HEADER.search(content):
            raise _NotToml(exc) from exc
        raise UsageError(
            f"{file}: {exc}", hint="Correct the file, or run vidgen in another folder."
        ) from exc


def _require_known(file: Path, table: Mapping[str, Any]) -> None:
    unknown = sorted(set(table) - set(VARIABLES))
    if not unknown:
        return
    from difflib import get_close_matches

    close = get_close_matches(unknown[0], VARIABLES, n=1)
    raise UsageError(
        f"{file}: [tool.vidgen] has unknown keys: {', '.join(unknown)}",
        hint=f"Did you mean {close[0]}?"
        if close
        else f"Known keys: {', '.join(sorted(VARIABLES))}.",
    )


# Values


class _Written(NamedTuple):
    """A value to parse: what to call it in an error, and the folder that paths count from."""

    label: str
    value: Any
    base: Path


def _plain(name: str) -> Any:
    return Settings.__dataclass_fields__[name].default


def _default_catalog(folder: Path) -> Path:
    local = folder / "templates.yaml"
    return local if _is_there(local) else shipped("templates.yaml")


def _is_there(path: Path) -> bool:
    # Path.exists() raises if a folder may not be searched: reading the catalog says so better.
    return os.access(path, os.F_OK)


def _text(written: _Written) -> str:
    return str(written.value)


def _path(written: _Written) -> Path:
    if not isinstance(written.value, str | Path):
        raise UsageError(f"{written.label} must be a path in quotes, got {written.value!r}")
    try:
        return written.base / Path(written.value).expanduser()
    except RuntimeError as exc:
        # `~nobody`, or `~` without HOME for a user that the system does not know.
        raise UsageError(
            f"{written.label}: no home directory is known for “{written.value}”",
            hint="Write the path without “~”.",
        ) from exc


def _location(written: _Written) -> Location:
    if not isinstance(written.value, str) or "://" not in written.value:
        return _path(written)
    try:
        return parse_location(written.value, written.base)
    except UsageError as exc:
        # `from None`: the message quotes the address, with the password in it.
        raise UsageError(without_credentials(exc.message), hint=exc.hint) from None


def _at_most(limit: int, *, zero: bool = False) -> Callable[[_Written], float]:
    def parse(written: _Written) -> float:
        try:
            number = float(written.value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number <= limit or (number == 0 and not zero):
            bounds = f"a number {'from' if zero else 'above'} 0 and at most {limit:,}"
            raise UsageError(f"{written.label} must be {bounds}, got {written.value!r}")
        return number

    return parse


def _level(written: _Written) -> str:
    level = str(written.value).upper()
    if level not in LOG_LEVELS:
        raise UsageError(
            f"invalid {written.label} {written.value}",
            hint=f"Use {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}.",
        )
    return level


_DEFAULTS: dict[str, Callable[[Path], Location]] = {
    "catalog": _default_catalog,
    "videos_dir": lambda folder: folder / "videos",
    "state_dir": lambda folder: folder / ".vidgen",
}

_PARSERS: dict[str, Callable[[_Written], Any]] = {
    "catalog": _path,
    "videos_dir": _location,
    "state_dir": _path,
    "ttl_days": _at_most(MAX_TTL_DAYS),
    "disk_quota_gb": _at_most(MAX_QUOTA_GB),
    "price_per_second_usd": _at_most(MAX_USD, zero=True),
    "provider_deadline_seconds": _at_most(MAX_DEADLINE_SECONDS),
    "daily_budget_usd": _at_most(MAX_USD, zero=True),
    "log": _level,
}
