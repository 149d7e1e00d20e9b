"""The SVG scenes of one folder; the drawing engine is imported when one is opened."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spritz_cli.models import Template
from spritz_cli.scene.sources import SceneSources

if TYPE_CHECKING:
    from spritz_cli.scene.drawing import Scene, SceneLoader


class SceneLibrary:
    """The SVG scenes of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sources = SceneSources(folder)

    def sources(self, scene_name: str) -> dict[str, str]:
        """Return the SHA-256 of the scene file and of every file it includes, by name."""
        return self._sources.digests(scene_name)

    def open(self, template: Template) -> Scene:
        """Return the scene that draws a template."""
        return self._loader.open(template)

    @cached_property
    def _loader(self) -> SceneLoader:
        # Imported here, because a plan needs only the sources.
        from spritz_cli.scene.drawing import SceneLoader

        return SceneLoader(self.folder)
