from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spritz_cli.errors import RenderError, UsageError
from spritz_cli.models import KeyFigure
from spritz_cli.scene.drawing import frames, held, times
from spritz_cli.scene.library import SceneLibrary
from spritz_cli.testing import sample_template
from tests.scenes import HEAD, drawn, shipped_scenes


def library_with(folder: Path, source: str) -> SceneLibrary:
    (folder / "scene.svg.j2").write_text(source, "utf-8")
    return SceneLibrary(folder)


def template(**changes):
    return sample_template(fallback_static="scene.svg.j2", **changes)


def test_a_film_has_a_frame_every_thirtieth_of_a_second() -> None:
    assert len(list(times(15))) == 450
    assert list(times(1))[:3] == [0.0, 0.033333, 0.066667]


def test_the_frames_at_the_end_that_show_the_same_are_left_out(tmp_path: Path) -> None:
    moving = '<circle r="{{ [t, 1]|min + (9 if 1.2 < t < 1.3 else 0) }}"/></svg>'
    scene = library_with(tmp_path, HEAD + moving).open(template(duration_seconds=2))
    assert held(scene) == 60 - 39 - 1
    assert len(list(frames(scene, held=held(scene)))) == 40
    still = library_with(tmp_path, HEAD + "</svg>").open(template(duration_seconds=2))
    assert len(list(frames(still, held=held(still)))) == 1


def test_a_film_that_moves_to_the_end_is_drawn_to_the_end(tmp_path: Path) -> None:
    scene = library_with(tmp_path, HEAD + '<circle r="{{ t }}"/></svg>').open(
        template(duration_seconds=1)
    )
    assert held(scene) == 0
    assert len(list(frames(scene, held=0))) == 30


def test_texts_are_escaped(tmp_path: Path) -> None:
    library = library_with(tmp_path, HEAD + "<text>{{ film.title }}</text></svg>")
    svg = library.open(template(title="A & B <b>")).svg(0)
    assert "<text>A &amp; B &lt;b&gt;</text>" in svg


def test_an_undefined_name_says_film_scene_line_and_second(tmp_path: Path) -> None:
    library = library_with(tmp_path, HEAD + "\n{{ p.nothing }}</svg>")
    with pytest.raises(RenderError, match=r"scene\.svg\.j2.* at 1\.50 s.*nothing"):
        library.open(template()).svg(1.5)


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    library = library_with(tmp_path, HEAD + "\n{% if %}</svg>")
    with pytest.raises(RenderError, match=r"scene\.svg\.j2:2"):
        library.open(template())


def test_a_division_by_zero_is_told_not_crashed(tmp_path: Path) -> None:
    library = library_with(tmp_path, HEAD + "{{ 1 / 0 }}</svg>")
    with pytest.raises(RenderError, match="division by zero"):
        library.open(template()).svg(0)


def test_a_scene_cannot_reach_out_of_the_sandbox(tmp_path: Path) -> None:
    library = library_with(tmp_path, HEAD + "{{ film.__class__.__mro__ }}</svg>")
    with pytest.raises(RenderError, match="unsafe"):
        library.open(template()).svg(0)


def test_the_sources_of_a_scene_include_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "kit.svg.j2").write_text("{% macro a() %}{% endmacro %}", "utf-8")
    library = library_with(tmp_path, '{% from "kit.svg.j2" import a %}')
    assert list(library.sources("scene.svg.j2")) == ["kit.svg.j2", "scene.svg.j2"]


def test_a_change_in_the_kit_changes_the_sources(tmp_path: Path) -> None:
    kit = tmp_path / "kit.svg.j2"
    kit.write_text("one", "utf-8")
    library = library_with(tmp_path, '{% include "kit.svg.j2" %}')
    before = library.sources("scene.svg.j2")
    kit.write_text("two", "utf-8")
    after = SceneLibrary(tmp_path).sources("scene.svg.j2")
    assert before["kit.svg.j2"] != after["kit.svg.j2"]
    assert before["scene.svg.j2"] == after["scene.svg.j2"]


def test_a_scene_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises((RenderError, UsageError), match="gone"):
        SceneLibrary(tmp_path).sources("gone.svg.j2")


def test_every_scene_of_the_catalog_draws_from_first_to_last_second(catalog) -> None:
    library = shipped_scenes()
    for entry in catalog.templates:
        scene = library.open(entry)
        for t in (0.0, 2.4, scene.duration / 2, scene.duration - 0.04):
            drawn(scene.svg(t))


def test_nothing_moves_in_the_final_hold(catalog) -> None:
    library = shipped_scenes()
    for entry in catalog.templates:
        scene = library.open(entry)
        held = {scene.svg(scene.duration - 2.4 + tenth / 10) for tenth in range(24)}
        assert len(held) == 1, entry.name


def test_a_figure_shows_its_own_number_at_the_end(catalog) -> None:
    (entry,) = catalog.select(topic="hysa_comparison")
    changed = replace(entry, figures=(KeyFigure(21.9, "pct", "rate"), KeyFigure(5, "usd2", "fee")))
    svg = shipped_scenes().open(changed).svg(14)
    assert ">21.9%<" in svg
    assert ">$5.00<" in svg


def test_what_a_macro_gave_can_be_measured(tmp_path: Path) -> None:
    macro = "{% macro words() %}never shaped before{% endmacro %}"
    source = macro + '<g opacity="{{ 1 if text_width(words(), "note") > 100 else 0 }}"/>'
    library = library_with(tmp_path, HEAD + source + "</svg>")
    assert 'opacity="1"' in library.open(template()).svg(0)
