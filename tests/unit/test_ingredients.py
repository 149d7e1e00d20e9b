"""What decides a drawing, told part by part, so that two hosts can compare it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.planning import SHORT, ingredients
from spritz_cli.scene.drawing import SceneLibrary
from spritz_cli.testing import sample_template
from spritz_cli.tiers import static
from spritz_cli.tiers.static import StaticTier
from tests.small import write_project
from tests.tiny import TinyTier

TEMPLATE = replace(sample_template(), fallback_static="card.svg.j2")


@pytest.fixture
def tier(tmp_path: Path) -> StaticTier:
    return StaticTier(SceneLibrary(write_project(tmp_path, {"one": 5}).scenes))


def test_texts_scenes_and_renderer_are_told_apart(tier: StaticTier) -> None:
    found = ingredients(TEMPLATE, [tier])
    assert list(found) == ["templates.yaml", "svg_templates/card.svg.j2", "renderer"]
    assert {len(digest) for digest in found.values()} == {SHORT}


def test_a_provider_of_footage_makes_no_difference(tier: StaticTier) -> None:
    better = TinyTier(name="sora")
    assert ingredients(TEMPLATE, [better, tier]) == ingredients(TEMPLATE, [tier])


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
