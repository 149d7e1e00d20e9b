"""`templates.yaml` → `Catalog`: read strictly, resolved once, remembered until an input changes."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from spritz_cli.catalog.cache import Cache
from spritz_cli.catalog.source import read_source, shown
from spritz_cli.errors import (
    CatalogError,
    Problem,
    UnknownTemplate,
    UsageError,
    did_you_mean,
    libraries_of,
)
from spritz_cli.models import Cue, KeyFigure, Template, TextCard
from spritz_cli.settings import load_settings, scenes_for

#: Half as much again as schema.MAX_TEMPLATES templates like those that ship with vidgen, which
#: take 2.4 kB each.
MAX_BYTES = 20_000_000

#: Modules whose source decides what a catalog resolves to.
DECIDING = ("catalog", "formatting", "models", "templating")


class Catalog(NamedTuple):
    """Every template of one file, in the order in which the file lists them under `personas`."""

    path: Path
    templates: tuple[Template, ...]

    def get(self, persona: str, topic: str) -> Template:
        """Return one template; UnknownTemplate names what is not there."""
        for item in self.templates:
            if (item.persona, item.topic) == (persona, topic):
                return item
        known = [(item.persona, item.topic) for item in self.templates]
        raise UnknownTemplate.among(persona, topic, known)

    def select(self, persona: str = "*", topic: str = "*") -> tuple[Template, ...]:
        """Return the templates that two globs name, at least one."""
        in_persona = [item for item in self.templates if fnmatchcase(item.persona, persona)]
        if not in_persona:
            hint = did_you_mean(persona, [item.persona for item in self.templates])
            raise UsageError(f"no persona matches “{persona}” in {self.path}", hint=hint)
        chosen = tuple(item for item in in_persona if fnmatchcase(item.topic, topic))
        if not chosen:
            hint = did_you_mean(topic, [item.topic for item in in_persona])
            raise UsageError(f"no topic of {persona} matches “{topic}” in {self.path}", hint=hint)
        return chosen


@libraries_of("spritz-vidgen")
def get_template(persona: str, topic: str) -> Template:
    """Return one template of the catalog that the settings name."""
    settings = load_settings()
    catalog = load_catalog(settings.catalog, settings.scenes, cache_dir=settings.state_dir)
    return catalog.get(persona, topic)


def load_catalog(path: Path, scenes: Path | None = None, cache_dir: Path | None = None) -> Catalog:
    """Read and check the whole catalog.

    Raises CatalogError with every problem found, in line order, and UsageError
    if there is no such file. `scenes` is the folder of the scene files; with
    `cache_dir` a catalog that was read before is not checked again.
    """
    content = _read(path)
    scenes = scenes or scenes_for(path)
    cache = Cache(cache_dir, "catalog", [content], DECIDING) if cache_dir else None
    templates = _revived(cache.load()) if cache else None
    if templates is None or _lacks_a_scene(templates, scenes):
        templates = _resolve(content, shown(path), scenes)
        if cache:
            cache.save([item.plain() for item in templates])
    return Catalog(path, templates)


def _read(path: Path) -> bytes:
    try:
        content = read_source(path, MAX_BYTES)
    except OSError as exc:
        raise UsageError(
            f"{path}: cannot read the catalog: {exc.strerror}",
            hint="Name a templates.yaml with --catalog or VIDGEN_CATALOG.",
        ) from exc
    if len(content) > MAX_BYTES:
        message = f"the catalog is larger than {MAX_BYTES // 1_000_000} MB"
        hint = "A catalog of 2,000 templates takes about 5 MB: is this the right file?"
        raise CatalogError([Problem(shown(path), 1, message, hint)])
    return content


def _lacks_a_scene(templates: Iterable[Template], scenes: Path) -> bool:
    return not all((scenes / item.fallback_static).is_file() for item in templates)


def _resolve(content: bytes, file: str, scenes: Path) -> tuple[Template, ...]:
    # A cached catalog needs none of their libraries.
    from spritz_cli.catalog.checks import check
    from spritz_cli.catalog.strict_yaml import read_yaml

    return check(read_yaml(content, file), scenes)


def _revived(values: Any) -> tuple[Template, ...] | None:
    return None if values is None else tuple(_template(item) for item in values)


def _template(values: dict[str, Any]) -> Template:
    return Template(
        **values
        | {
            "card": TextCard(**values["card"]),
            "captions": tuple(Cue(**cue) for cue in values["captions"]),
            "figures": tuple(KeyFigure(**figure) for figure in values["figures"]),
        }
    )
