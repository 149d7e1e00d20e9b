from __future__ import annotations

from typing import Any

import pytest

from spritz_cli.errors import RenderError
from spritz_cli.scene import recorder
from spritz_cli.scene.canvas import KEPT_RECORDINGS, Canvas
from spritz_cli.scene.document import Mark, parse
from spritz_cli.scene.drawing import times
from spritz_cli.scene.recorder import Recorder, cairocffi
from tests.scenes import document, drawn, pixel, shipped_scenes


def test_colours_arrive_as_written() -> None:
    canvas = drawn(document('<rect x="10" y="10" width="20" height="20" fill="#0F766E"/>'))
    assert pixel(canvas, 15, 15) == (15, 118, 110)
    assert pixel(canvas, 40, 40) == (255, 255, 255)


def test_the_same_frame_is_not_painted_again() -> None:
    canvas = drawn(document('<circle cx="50" cy="50" r="9"/>'))
    assert canvas.show(parse(document('<circle cx="50" cy="50" r="9"/>'))) is False
    assert canvas.show(parse(document('<circle cx="51" cy="50" r="9"/>'))) is True


def test_what_has_gone_leaves_nothing_behind() -> None:
    canvas = drawn(document('<circle cx="50" cy="50" r="9"/>'))
    canvas.show(parse(document("")))
    assert canvas.pixels == drawn(document("")).pixels


def test_things_that_change_places_in_depth_are_painted_again() -> None:
    red = '<rect x="10" y="10" width="30" height="30" fill="#FF0000"/>'
    blue = '<rect x="20" y="20" width="30" height="30" fill="#0000FF"/>'
    canvas = drawn(document(red + blue))
    canvas.show(parse(document(blue + red)))
    assert pixel(canvas, 25, 25) == (255, 0, 0)


def test_half_transparent_fill_and_stroke_are_blended_as_one() -> None:
    canvas = drawn(
        document(
            '<g opacity="0.5"><rect x="20" y="20" width="60" height="60" fill="#000000" '
            'stroke="#000000" stroke-width="20"/></g>'
        )
    )
    assert pixel(canvas, 25, 50) == pixel(canvas, 50, 50)


def test_a_clip_cuts_what_lies_outside() -> None:
    clip = '<defs><clipPath id="c"><rect width="50" height="50"/></clipPath></defs>'
    canvas = drawn(
        document(f'{clip}<g clip-path="url(#c)"><rect width="99" height="99" fill="#00FF00"/></g>')
    )
    assert pixel(canvas, 49, 49) == (0, 255, 0)
    assert pixel(canvas, 51, 51) == (255, 255, 255)


def test_a_counter_in_the_middle_does_not_wobble() -> None:
    canvas = Canvas(100, 100)
    lefts = set()
    for words in ("01", "08", "04"):
        svg = document(f'<text x="50" y="50" font-size="40" text-anchor="middle">{words}</text>')
        lefts.add(canvas._box(parse(svg)[1])[0])
    assert len(lefts) == 1


@pytest.mark.parametrize(
    "element",
    [
        '<rect width="wide" height="3"/>',
        '<rect width="-1" height="3"/>',
        '<circle r="nan"/>',
        '<circle cx="inf" r="3"/>',
        '<path d="M0 0 Lnan 3"/>',
        '<path d="M0 0 L" stroke-width="x"/>',
        '<rect width="9" height="9" style="fill:red"/>',
        '<circle r="9" visibility="hidden"/>',
    ],
)
def test_what_would_be_drawn_as_nothing_is_refused(element: str) -> None:
    with pytest.raises(RenderError, match=element[1:5]):
        drawn(document(element))


@pytest.mark.parametrize(
    "element",
    [
        '<rect x="4" y="5" width="60" height="30" rx="7" fill="#4DBB86"/>',
        '<rect x="4.5" y="5" width="0" height="30" stroke="#4DBB86" stroke-width="4"/>',
        '<circle cx="50" cy="40" r="30" fill="none" stroke="red" stroke-dasharray="9 4,2"/>',
        '<path d="M9 9h40l-20 30z m5 5h9v9z" fill-rule="evenodd" stroke="#000" stroke-width="3"/>',
        '<polyline points="5,5 60,9 20,50" fill="none" stroke="rgb(9,8,7)" stroke-width="8" '
        'stroke-linecap="round" stroke-linejoin="bevel" stroke-opacity="0.4"/>',
        '<line x1="9" y1="9" x2="70" y2="30" stroke="#123456" stroke-linecap="square"/>',
        '<text x="50" y="60" font-size="40" font-weight="800" text-anchor="middle" '
        'fill="url(#g)" stroke="#8A5200" stroke-width="0.5">$4,200</text>',
        '<ellipse cx="40" cy="40" rx="30" ry="10" fill-opacity="0.3" fill="url(#g)"/>',
        '<polygon points="10,10 60,10 30,60" stroke="#FFF" stroke-miterlimit="1.5"/>',
    ],
)
def test_an_element_is_drawn_just_as_cairosvg_does(element) -> None:
    stops = '<stop offset="0" stop-color="#F00"/><stop offset="1" stop-color="#00F"/>'
    svg = document(f'<defs><linearGradient id="g">{stops}</linearGradient></defs>{element}')
    assert drawn(svg).pixels == _drawn_by_cairosvg(svg)


class _Stock(Recorder):
    """Return a drawing by CairoSVG alone, from its own tree."""

    def draw_all(self, svg: str, context: Any) -> None:
        self.context, self.stroke_and_fill = context, True
        for mark in parse(svg):
            assert isinstance(mark, Mark)
            self.gradients = {dict(p.attributes)["id"]: recorder._tree(p) for p in mark.leaf.paints}
            tag = recorder._OUTLINE if mark.leaf.tag == "text" else mark.leaf.tag
            self.draw(recorder._Node(tag, mark.leaf.attributes, mark.leaf.text))


def _drawn_by_cairosvg(svg: str) -> bytearray:
    pixels = bytearray(4 * 1280 * 720)
    surface = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, 1280, 720, data=pixels, stride=5120)
    _Stock(1280, 720).draw_all(svg, cairocffi.Context(surface))
    surface.flush()
    return pixels


def test_a_clip_of_arcs_changes_nothing_of_what_is_read_after_it() -> None:
    clip = '<clipPath id="c"><path d="M0 0 A9 9 0 0 1 9 9 Z"/></clipPath>'
    clipped = f'<defs>{clip}</defs><g clip-path="url(#c)"><rect width="9" height="9"/></g>'
    ring = '<circle cx="400" cy="300" r="200" fill="none" stroke="#000000" stroke-width="9"/>'
    canvas = drawn(document(clipped))
    canvas.show(parse(document(ring)))
    assert canvas.pixels == drawn(document(ring)).pixels


def test_an_empty_outline_changes_nothing() -> None:
    canvas = drawn(document(""))
    assert canvas.show(parse(document('<rect width="0" height="9" stroke="#000000"/>'))) is False


def test_memory_stays_flat_however_much_is_drawn() -> None:
    canvas = Canvas(64, 64)
    for size in range(KEPT_RECORDINGS + 50):
        canvas.show(parse(document(f'<circle cx="9" cy="9" r="{size / 100}"/>')))
    assert len(canvas._recordings) <= KEPT_RECORDINGS


@pytest.mark.parametrize(
    "gradient",
    [
        '<linearGradient id="g" x1="0" y1="0" x2="0" y2="1">{}</linearGradient>',
        '<linearGradient id="g" x1="0" y1="0" x2="1" y2="1">{}</linearGradient>',
        '<linearGradient id="g">{}</linearGradient>',
        '<radialGradient id="g">{}</radialGradient>',
    ],
)
def test_a_gradient_is_the_same_in_whatever_pieces_it_is_painted(gradient) -> None:
    stops = '<stop offset="0" stop-color="#102030"/><stop offset="1" stop-color="#FF8020"/>'
    paper = f'<defs>{gradient.format(stops)}</defs><rect width="1280" height="720" fill="url(#g)"/>'
    canvas = Canvas(1280, 720)
    for x in (100.3, 447.9, 901.2):
        dots = f'<circle cx="{x}" cy="90" r="20"/><circle cx="{x / 2}" cy="500.5" r="30"/>'
        canvas.show(parse(document(paper + dots)))
        assert canvas.pixels == drawn(document(paper + dots)).pixels


@pytest.mark.parametrize("topic", ["credit_utilization", "cash_buffer", "hysa_comparison"])
def test_painting_only_what_changed_gives_the_same_bytes_as_painting_all(topic, catalog) -> None:
    (template,) = catalog.select(topic=topic)
    scene = shipped_scenes().open(template)
    canvas = Canvas(1280, 720)
    for index, t in enumerate(times(scene.duration)):
        canvas.show(parse(scene.svg(t)))
        if index % 9 == 0:
            assert canvas.pixels == drawn(scene.svg(t)).pixels, f"at {t} s"
