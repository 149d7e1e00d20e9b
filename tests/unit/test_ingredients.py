"""What decides a drawing, told part by part, so that two hosts can compare it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.bootstrap import Services
from spritz_cli.films.planning import SHORT, ingredients
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.settings import load_settings
from spritz_cli.storage.redis.connection import OpenRedis
from spritz_cli.testing import fake_redis, sample_template
from spritz_cli.tiers import static
from spritz_cli.tiers.static import StaticTier
from tests.small import write_project

TEMPLATE = replace(sample_template(), fallback_static="card.svg.j2")


@pytest.fixture
def tier(tmp_path: Path) -> StaticTier:
    return StaticTier(SceneLibrary(write_project(tmp_path, {"one": 5}).scenes))


def test_texts_scenes_and_renderer_are_told_apart(tier: StaticTier) -> None:
    found = ingredients(TEMPLATE, [tier])
    assert list(found) == ["templates.yaml", "svg_templates/card.svg.j2", "renderer"]
    assert {len(digest) for digest in found.values()} == {SHORT}


def test_what_is_drawn_over_footage_counts_with_and_without_a_provider(tmp_path: Path) -> None:
    scenes = write_project(tmp_path, {"one": 5}).scenes
    (scenes / "kit").mkdir()
    (scenes / "kit" / "frame.svg.j2").write_text("<g/>")
    overlay = scenes / "footage.svg.j2"
    overlay.write_text('<svg>{% include "kit/frame.svg.j2" %}</svg>')

    def found(**environment: str) -> dict[str, str]:
        settings = load_settings(environment, tmp_path)
        return ingredients(TEMPLATE, Services(settings, OpenRedis(fake_redis(), "")).tiers)

    alone = found()
    assert {"svg_templates/footage.svg.j2", "svg_templates/kit/frame.svg.j2"} <= alone.keys()
    assert found(VIDGEN_PROVIDER="openai") == alone

    overlay.write_text('<svg>{% include "kit/frame.svg.j2" %}<g/></svg>')
    changed = {name for name, digest in found().items() if alone.get(name) != digest}
    assert changed == {"svg_templates/footage.svg.j2"}


def test_one_name_in_the_scenes_of_two_tiers_is_told_apart(tmp_path: Path) -> None:
    scenes = write_project(tmp_path, {"one": 5}).scenes
    (scenes / "kit").mkdir()
    card = scenes / "card.svg.j2"
    card.write_text('<svg>{% from "kit/frame.svg.j2" import x %}</svg>')
    (scenes / "kit" / "frame.svg.j2").write_text("{% macro x() %}{% endmacro %}")
    tiers = Services(load_settings({}, tmp_path), OpenRedis(fake_redis(), "")).tiers
    names = ingredients(TEMPLATE, tiers).keys()
    assert {"svg_templates/kit/frame.svg.j2", "svg_templates/kit/frame.svg.j2 of sora"} <= names


def test_only_what_changed_differs(
    tier: StaticTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ingredients(TEMPLATE, [tier])

    def changed(after: dict[str, str]) -> list[str]:
        return [name for name in after if after[name] != before[name]]

    renamed = replace(TEMPLATE, title="Another title")
    assert changed(ingredients(renamed, [tier])) == ["templates.yaml"]
    scene = tmp_path / "svg_templates" / "card.svg.j2"
    scene.write_text(scene.read_text() + "<!-- -->")
    edited = StaticTier(SceneLibrary(scene.parent))
    assert changed(ingredients(TEMPLATE, [edited])) == ["svg_templates/card.svg.j2"]
    monkeypatch.setattr(static, "RENDERER", -1)
    assert changed(ingredients(TEMPLATE, [tier])) == ["renderer"]
