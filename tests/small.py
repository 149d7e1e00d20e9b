"""A project of a few short films with a plain scene, for tests with real processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spritz_cli.settings import Settings, load_settings

#: A disc that moves: every frame differs, so every frame is drawn.
SCENE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720" viewBox="0 0 1280 720">
  <rect width="1280" height="720" fill="#ffffff"/>
  <circle cx="{{ 100 + 10 * t }}" cy="360" r="80" fill="{{ accent }}"/>
</svg>
"""

_TEMPLATE = """\
  - persona: newcomer
    topic: {topic}
    title: First steps
    duration_seconds: {seconds}
    prompt_template: Steps appear one by one.
    visual_metaphor: Stairs
    takeaway: Begin with one.
    card: {{headline: First steps, body: "There are {{{{ count }}}}.", action: Take one.}}
    alt: Stairs
    captions:
      - {{start: 0, end: 4, text: One at a time.}}
    figures:
      - {{value: count, format: number, label: steps}}
    parameters: {{count: {count}}}
"""


def write_project(folder: Path, films: Mapping[str, int], *, count: int = 2) -> Settings:
    """Write a catalog of films (topic: seconds); return the settings of its folder."""
    scenes = folder / "svg_templates"
    scenes.mkdir(parents=True, exist_ok=True)
    (scenes / "card.svg.j2").write_text(SCENE)
    header = f"version: 1\npersonas:\n  newcomer: {{accent: teal, topics: [{', '.join(films)}]}}\n"
    templates = "".join(
        _TEMPLATE.format(topic=topic, seconds=seconds, count=count)
        for topic, seconds in films.items()
    )
    (folder / "templates.yaml").write_text(f"{header}templates:\n{templates}")
    return load_settings(environ={}, cwd=folder)
