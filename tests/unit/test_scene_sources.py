"""What Jinja2 itself finds is the measure of what is found without it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, meta

from spritz_cli.errors import UsageError
from spritz_cli.scene.sources import SceneSources
from spritz_cli.settings import shipped

SHIPPED = shipped("svg_templates")
SCENES = sorted(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.j2"))


def found_by_jinja(folder: Path, scene: str) -> list[str]:
    environment = Environment(loader=FileSystemLoader(folder))
    names: set[str] = set()
    waiting = [scene]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            tree = environment.parse((folder / name).read_text("utf-8"))
            waiting += [found for found in meta.find_referenced_templates(tree) if found]
    return sorted(names)


@pytest.mark.parametrize("scene", SCENES)
def test_a_shipped_scene_has_the_sources_that_jinja_finds(scene: str) -> None:
    digests = SceneSources(SHIPPED).digests(scene)
    assert list(digests) == found_by_jinja(SHIPPED, scene)
    content = (SHIPPED / scene).read_bytes()
    assert digests[scene] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('{% extends "a.j2" %}', ["a.j2"]),
        ("{%- include 'a.j2' -%}", ["a.j2"]),
        ('{%+ import "a.j2" as a %}', ["a.j2"]),
        ('{%from "a.j2" import x, y with context%}', ["a.j2"]),
        ('{%\n  from\n  "a.j2"\n  import x\n%}', ["a.j2"]),
        ("{% include [\"a.j2\", 'b.j2'] ignore missing %}", ["a.j2", "b.j2"]),
        (
            '{% if film %}{% include "a.j2" %}{% else %}{% include "b.j2" %}{% endif %}',
            ["a.j2", "b.j2"],
        ),
        ('{# {% include "gone.j2" %} #}', []),
        ("{#\n{% include 'gone.j2' %}\n#}{% include 'b.j2' %}", ["b.j2"]),
        ("{% include film.title %}", []),
        ('{% set includes = "gone.j2" %}{{ "gone.j2" }}', []),
        ('<text>include "gone.j2"</text>', []),
    ],
)
def test_every_way_to_name_a_file_is_understood(
    source: str, found: list[str], tmp_path: Path
) -> None:
    for name, text in {"scene.j2": source, "a.j2": "one", "b.j2": "two"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    names = list(SceneSources(tmp_path).digests("scene.j2"))
    assert names == found_by_jinja(tmp_path, "scene.j2")
    assert names == [*found, "scene.j2"]


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text('{% include "b.j2" %}', "utf-8")
    (tmp_path / "b.j2").write_text('{% include "a.j2" %}', "utf-8")
    assert list(SceneSources(tmp_path).digests("a.j2")) == ["a.j2", "b.j2"]


@pytest.mark.parametrize("name", ["gone.j2", "../outside.j2", "folder", "a.j2/b.j2"])
def test_a_file_that_is_not_in_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside.j2").touch()
    scenes = tmp_path / "scenes"
    (scenes / "folder").mkdir(parents=True)
    (scenes / "a.j2").write_text("{% include '" + name + "' %}", "utf-8")
    with pytest.raises(UsageError, match=f"scene file {name} does not exist"):
        SceneSources(scenes).digests("a.j2")


def test_an_absolute_name_stays_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.j2").write_text("outside", "utf-8")
    with pytest.raises(UsageError, match="does not exist"):
        SceneSources(tmp_path / "scenes").digests(f"{tmp_path}/outside.j2")
