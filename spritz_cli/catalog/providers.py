"""`providers.yaml` → `Profile`: read strictly, laid over one another, remembered.

A mistake in one profile costs only those that are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spritz_cli.catalog.cache import Cache
from spritz_cli.catalog.source import read_source, shown
from spritz_cli.errors import Problem, ProvidersError
from spritz_cli.settings import beside, shipped
from spritz_cli.videos_api.profile import Profile

if TYPE_CHECKING:
    from spritz_cli.catalog.profiles import Profiles

MAX_BYTES = 200_000

#: Modules whose source decides what a profile resolves to.
DECIDING = ("catalog", "videos_api.profile")


def provider_files(catalog: Path) -> tuple[Path, ...]:
    """Return the files that describe the providers of a catalog: the later ones win."""
    return shipped("providers.yaml"), beside(catalog, "providers.yaml")


def load_profile(name: str, files: Iterable[Path], cache_dir: Path | None = None) -> Profile:
    """Return one profile; files that do not exist are skipped.

    Raises ProvidersError with every problem of this profile, and UsageError if no file has
    it. With `cache_dir` a profile that was read before is not checked again.
    """
    contents = _read(files)
    inputs = [name.encode(errors="surrogatepass"), *contents.values()]
    cache = Cache(cache_dir, "profile", inputs, DECIDING) if cache_dir else None
    plain = cache.load() if cache else None
    if plain is not None:
        return _revived(plain)
    profile = _profiles(contents).get(name)
    if cache:
        cache.save(_plain(profile))
    return profile


def provider_problems(files: Iterable[Path]) -> list[Problem]:
    """Return the problems of all profiles, also of those that are not in use."""
    try:
        return _profiles(_read(files)).problems()
    except ProvidersError as error:
        return list(error.problems)


def _read(files: Iterable[Path]) -> dict[Path, bytes]:
    """Return the content of each file that exists, in their order."""
    contents: dict[Path, bytes] = {}
    for file in dict.fromkeys(path.absolute() for path in files):
        try:
            contents[file] = read_source(file, MAX_BYTES)
        except OSError as exc:
            is_absent = isinstance(exc, FileNotFoundError | NotADirectoryError)
            if is_absent and not file.is_symlink():
                continue
            hint = "Check what lies there, and its permissions."
            raise _refused(file, f"the file cannot be read: {exc.strerror}", hint) from exc
        if len(contents[file]) > MAX_BYTES:
            message = f"the file is larger than {MAX_BYTES // 1_000} kB"
            raise _refused(
                file, message, "A profile takes about 500 bytes: is this the right file?"
            )
    return contents


def _refused(file: Path, message: str, hint: str) -> ProvidersError:
    return ProvidersError([Problem(shown(file), 1, message, hint)])


def _profiles(contents: Mapping[Path, bytes]) -> Profiles:
    # A cached profile needs none of their libraries.
    from spritz_cli.catalog.profile_schema import UNQUOTED
    from spritz_cli.catalog.profiles import Profiles
    from spritz_cli.catalog.strict_yaml import read_yaml

    return Profiles(read_yaml(content, shown(file), UNQUOTED) for file, content in contents.items())


def _plain(profile: Profile) -> dict[str, Any]:
    """Return all of a profile as JSON values."""
    return {
        **vars(profile),
        "prices": {
            model: {size: str(usd) for size, usd in per_size.items()}
            for model, per_size in profile.prices.items()
        },
        "retired": {model: day.isoformat() for model, day in profile.retired.items()},
    }


def _revived(values: Mapping[str, Any]) -> Profile:
    lists = ("allowed_seconds", "sizes", "api_key_env")
    prices: dict[str, dict[str, str]] = values["prices"]
    return Profile(
        **{
            **values,
            **{key: tuple(values[key]) for key in lists},
            "prices": {
                model: {size: Decimal(usd) for size, usd in per_size.items()}
                for model, per_size in prices.items()
            },
            "retired": {model: date.fromisoformat(day) for model, day in values["retired"].items()},
        }
    )
