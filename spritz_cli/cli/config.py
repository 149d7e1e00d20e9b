"""`vidgen config`: every setting, its value, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from spritz_cli.cli import console
from spritz_cli.cli.console import Cell, Column
from spritz_cli.cli.options import Invocation, Json
from spritz_cli.cli.quick import QuickCommand
from spritz_cli.cli.variables import API_KEY, unknown_variables, warn_of
from spritz_cli.errors import UsageError
from spritz_cli.models import ObjectPath
from spritz_cli.settings import VARIABLES, Given, Settings, Sources, secret, without_credentials

if TYPE_CHECKING:
    from spritz_cli.videos_api.profile import Profile

COLUMNS = (Column("SETTING"), Column("VALUE", below=True), Column("FROM", below=True))

#: The secrets that are used unless the provider's profile names others.
PROVIDER_KEYS = (API_KEY, "OPENAI_API_KEY")

BUCKET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Setting:
    """One setting as it applies now; `error` says why its value makes no sense."""

    name: str
    value: str | float | None
    given: Given
    error: UsageError | None = None

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "variable": VARIABLES[self.name],
            "value": self.value,
            "origin": self.given.origin,
            "where": self.given.where or None,
            "error": self.error.message if self.error else None,
        }


def register(app: typer.Typer) -> None:
    app.command(
        cls=QuickCommand, epilog="Exit codes: 0 all settings are valid, 2 one is not, or usage."
    )(config)


def config(context: typer.Context, as_json: Json = False) -> None:
    """Show every setting, its value, and where it comes from.

    Flags beat the environment, the environment beats [tool.vidgen] of the nearest
    pyproject.toml upward, and that beats the defaults. Secrets are never shown.

    Example: vidgen config
    """
    invocation: Invocation = context.obj
    sources = invocation.sources
    settings, secrets = _settings(sources)
    catalog = None if settings["catalog"].error else sources.value("catalog")
    unknown = unknown_variables(catalog)
    if as_json:
        console.document("config", _document(settings.values(), secrets, unknown, sources))
    else:
        _show(settings.values(), secrets)
    warn_of(unknown)
    errors = [setting.error for setting in settings.values() if setting.error]
    for error in errors:
        console.error(error)
    if errors:
        raise typer.Exit(UsageError.exit_code)


def _settings(sources: Sources) -> tuple[dict[str, Setting], dict[str, bool]]:
    """Return every setting by its name, and of every secret whether it is set."""
    settings = {name: _setting(sources, name) for name in VARIABLES}
    keys: Sequence[str] = PROVIDER_KEYS
    if not any(setting.error for setting in settings.values()):
        profile, error = _profile(sources.settings)
        if error:
            wrong = _wrong_setting(sources.settings)
            settings[wrong] = replace(settings[wrong], error=error)
        keys = profile.api_key_env if profile else PROVIDER_KEYS
        if isinstance(sources.settings.videos_dir, ObjectPath):
            keys = (*keys, *BUCKET_KEYS)
    return settings, {name: secret([name]) is not None for name in keys}


def _setting(sources: Sources, name: str) -> Setting:
    given = sources.origin(name)
    try:
        value = sources.value(name)
    except UsageError as exc:
        return Setting(name, _shown(given.value), given, exc)
    return Setting(name, _shown(value), given)


def _shown(value: Any) -> str | float | None:
    """Return a value without the passwords in it."""
    from spritz_cli.storage.redis.connection import printable

    if value is None or isinstance(value, float):
        return value
    return without_credentials(printable(str(value)))


def _profile(settings: Settings) -> tuple[Profile | None, UsageError | None]:
    """Look up the provider that the settings name; return it or the error."""
    from spritz_cli.bootstrap import provider_profile

    try:
        return provider_profile(settings), None
    except UsageError as exc:
        return None, exc


def _wrong_setting(settings: Settings) -> str:
    """Return the setting for which looking up the provider failed."""
    from spritz_cli.videos_api.profile import is_base_url

    bad_address = settings.base_url is not None and not is_base_url(settings.base_url)
    return "base_url" if bad_address else "provider"


def _document(
    settings: Iterable[Setting],
    secrets: Mapping[str, bool],
    unknown: Mapping[str, str],
    sources: Sources,
) -> dict[str, Any]:
    file = sources.project.file
    return {
        "settings": [setting.document() for setting in settings],
        "secrets": [{"variable": name, "set": is_set} for name, is_set in secrets.items()],
        "project": {"folder": str(sources.project.folder), "file": str(file) if file else None},
        "unknown_variables": [
            {"variable": name, "nearest": nearest or None} for name, nearest in unknown.items()
        ],
    }


def _show(settings: Iterable[Setting], secrets: Mapping[str, bool]) -> None:
    rows = [_row(setting) for setting in settings]
    rows += [[name, "set" if is_set else "not set", ""] for name, is_set in secrets.items()]
    console.table(COLUMNS, rows)


def _row(setting: Setting) -> list[str | Cell]:
    value = "not set" if setting.value is None else _text(setting.value)
    where = setting.given.where or setting.given.origin
    style = "dim" if setting.given.origin == "default" else ""
    return [
        setting.name,
        Cell(value, "bold red" if setting.error else style),
        Cell(where, style),
    ]


def _text(value: str | float) -> str:
    return f"{value:.12g}" if isinstance(value, float) else value
