"""Adds what lies outside this folder to its wheel and sdist: spritz_cli and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Users edit these at the top of the repository; an installed vidgen finds them in its package.
DATA = ("templates.yaml", "providers.yaml", "svg_templates")


class SharedSource(BuildHookInterface[Any]):
    """Takes the sources from the checkout, or from the sdist that this folder is the top of."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        here = Path(self.root)
        top = here if (here / "spritz_cli").is_dir() else here.parent
        data = "spritz_cli/data/" if self.target_name == "wheel" else ""
        included = {"spritz_cli": "spritz_cli"} | {name: data + name for name in DATA}
        build_data["force_include"] |= {str(top / name): path for name, path in included.items()}
