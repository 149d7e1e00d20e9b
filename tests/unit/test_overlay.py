"""What is drawn over footage: readable on any picture, and a picture to be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spritz_cli.lint.film import screen_faults
from spritz_cli.lint.texts import texts
from spritz_cli.models import KeyFigure, TextCard
from spritz_cli.scene.canvas import Canvas
from spritz_cli.scene.document import parse
from spritz_cli.scene.drawing import frames, times
from spritz_cli.testing import sample_template
from spritz_cli.tiers.compositing import FRAME
from spritz_cli.tiers.footage import OVERLAY
from tests.scenes import HEAD, frozen_catalog, shipped_scenes

TEMPLATES = frozen_catalog().templates

#: Texts as long as the catalog allows.
LONGEST = sample_template(
    title="A title with as many letters as may be: W",
    card=TextCard("What would a headline look like with sixty letters in all, hm?", "", ""),
    takeaway="A takeaway of this breadth barely fits its card.",
    figures=(
        KeyFigure(1_234_567, "usd", "With a LONG LABEL Wwww W"),
        KeyFigure(99.99, "pct2", "With a LONG LABEL Wwww W"),
        KeyFigure(12, "number", "short"),
    ),
)


def overlay(template):
    return shipped_scenes().open(replace(template, fallback_static=OVERLAY))


def transparent(svg: str) -> Canvas:
    canvas = Canvas(1280, 720, transparent=True)
    canvas.show(parse(svg))
    return canvas


def alphas(canvas: Canvas, box) -> set[int]:
    """The values of alpha within a box."""
    x0, y0, x1, y1 = (round(edge) for edge in box)
    rows = (canvas.pixels[5120 * y + 4 * x0 + 3 : 5120 * y + 4 * x1 : 4] for y in range(y0, y1))
    return {value for row in rows for value in row}


def settled_seconds(template) -> tuple[float, ...]:
    """Title alone, with the question, with all figures, with the takeaway."""
    duration = template.duration_seconds
    return 0.0, 2.0, duration - 3.5, duration - 0.1


@pytest.mark.parametrize("template", [*TEMPLATES, LONGEST], ids=lambda template: template.topic)
def test_every_word_stands_on_opaque_paper(template) -> None:
    scene = overlay(template)
    for second in settled_seconds(template):
        svg = scene.svg(second)
        canvas = transparent(svg)
        for text in texts(parse(svg)):
            assert alphas(canvas, text.box) == {255}, f"{text.label} at {second} s"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.topic)
def test_the_middle_of_the_picture_stays_free(template) -> None:
    scene = overlay(template)
    for second in (4.5, template.duration_seconds - 3.5, template.duration_seconds - 0.1):
        assert alphas(transparent(scene.svg(second)), (480, 120, 1216, 500)) == {0}


@pytest.mark.parametrize("topic", ["credit_utilization", "cd_basics", "cancellation_tips"])
def test_the_overlay_obeys_the_rules_of_films(topic: str, catalog) -> None:
    (template,) = catalog.select(topic=topic)
    faults = screen_faults(replace(template, fallback_static=OVERLAY), shipped_scenes())
    assert faults == []


def test_the_longest_texts_stay_within_the_frame_and_apart() -> None:
    faults = screen_faults(replace(LONGEST, fallback_static=OVERLAY), shipped_scenes())
    assert {fault.rule for fault in faults} <= {"number"}, faults


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seconds", [5, 8, 30])
def test_every_figure_has_landed_before_the_final_hold(seconds: int, count: int) -> None:
    figures = tuple(KeyFigure(40 + i, "usd", f"figure {i}") for i in range(count))
    scene = overlay(sample_template(duration_seconds=seconds, figures=figures))
    shown = {text.words for text in texts(parse(scene.svg(seconds - 2.4)))}
    assert {f"${40 + i}" for i in range(count)} <= shown
    assert scene.svg(seconds - 2.4) == scene.svg(seconds - 1 / 30)


def test_the_whole_film_tells_that_it_is_generated_and_no_advice() -> None:
    scene = overlay(sample_template())
    for second in (0.0, 7.0, 14.9):
        words = {text.words for text in texts(parse(scene.svg(second)))}
        assert {"AI-generated footage", "Education, not financial advice"} <= words


def test_footage_reaches_the_horizon_and_no_further() -> None:
    canvas = transparent(overlay(sample_template()).svg(0))
    assert alphas(canvas, (0, 120, 1280, 602)) == {0}
    assert alphas(canvas, (0, 602, 1280, 720)) == {255}
    assert FRAME.window == 604


def test_a_transparent_canvas_gives_premultiplied_pixels() -> None:
    canvas = transparent(
        HEAD + '<rect width="9" height="9" fill="#FF8000" fill-opacity="0.5"/></svg>'
    )
    blue, green, red, alpha = canvas.pixels[:4]
    assert (blue, alpha) == (0, 128)
    assert abs(red - 128) <= 1
    assert abs(green - 64) <= 1
    assert not any(canvas.pixels[5120 * 9 :])


def test_what_has_gone_from_a_transparent_canvas_leaves_nothing_behind() -> None:
    canvas = transparent(HEAD + '<circle cx="50" cy="50" r="9" fill-opacity="0.5"/></svg>')
    canvas.show(parse(HEAD + '<circle cx="60" cy="50" r="9" fill-opacity="0.5"/></svg>'))
    again = transparent(HEAD + '<circle cx="60" cy="50" r="9" fill-opacity="0.5"/></svg>')
    assert canvas.pixels == again.pixels
    canvas.show(parse(HEAD + "</svg>"))
    assert not any(canvas.pixels)


def test_painting_only_what_changed_of_an_overlay_gives_the_same_bytes_as_painting_all() -> None:
    scene = overlay(sample_template())
    for index, (t, pixels) in enumerate(
        zip(times(scene.duration), frames(scene, transparent=True), strict=True)
    ):
        if index % 9 == 0:
            assert pixels == transparent(scene.svg(t)).pixels, f"at {t} s"
