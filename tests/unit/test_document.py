from __future__ import annotations

import pytest

from spritz_cli.errors import RenderError
from spritz_cli.scene.document import IDENTITY, Layer, Mark, matrix_of, multiply, parse
from tests.scenes import HEAD


def test_groups_hand_their_paint_and_place_to_what_they_hold() -> None:
    svg = f'{HEAD}<g transform="translate(5 6)" fill="red"><rect width="2" height="3"/></g></svg>'
    (mark,) = parse(svg)
    assert isinstance(mark, Mark)
    assert mark.matrix == (1, 0, 0, 1, 5, 6)
    assert dict(mark.leaf.attributes) == {"fill": "red", "width": "2", "height": "3"}


def test_what_only_moves_stays_the_same_leaf() -> None:
    here, there = (
        parse(f'{HEAD}<g transform="translate({x} 0)"><circle r="4"/></g></svg>')[0] for x in (1, 2)
    )
    assert isinstance(here, Mark)
    assert isinstance(there, Mark)
    assert here.leaf == there.leaf
    assert here.matrix != there.matrix


def test_opacity_makes_a_layer_and_nothing_at_all_is_left_out() -> None:
    (layer,) = parse(f'{HEAD}<g opacity="0.5"><circle r="4"/></g></svg>')
    assert isinstance(layer, Layer)
    assert layer.opacity == 0.5
    assert parse(f'{HEAD}<g opacity="0"><circle r="4"/></g></svg>') == ()


def test_what_is_scaled_to_nothing_is_left_out() -> None:
    assert parse(f'{HEAD}<g transform="scale(0)"><circle r="4"/></g></svg>') == ()
    assert parse(f'{HEAD}<g transform="scale(1 0)"><circle r="4"/></g></svg>') == ()


def test_a_clip_is_known_by_its_shape() -> None:
    clip = '<defs><clipPath id="c"><rect width="9" height="9"/></clipPath></defs>'
    (layer,) = parse(f'{HEAD}{clip}<g clip-path="url(#c)"><circle r="4"/></g></svg>')
    assert isinstance(layer, Layer)
    assert layer.clip is not None
    assert layer.clip.children[0].tag == "rect"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<filter/>", "cannot draw <filter>"),
        ("<image/>", "cannot draw <image>"),
        ("<script/>", "cannot draw <script>"),
        ("<style/>", "cannot draw <style>"),
        ("<text><tspan>a</tspan></text>", "<text> cannot have children"),
        ('<g opacity="nan"><circle r="1"/></g>', "opacity must be a finite number"),
        ('<g opacity="half"/>', "opacity must be a finite number"),
        ('<rect fill="url(#gone)"/>', "refers to an unknown id"),
        ('<g clip-path="url(#gone)"><circle r="1"/></g>', "refers to an unknown id"),
        ('<g transform="skewY(4)"/>', "cannot be drawn"),
        ('<g transform="translate(nan 0)"/>', "cannot be drawn"),
        ('<g transform="translate(a 1)"/>', "cannot be drawn"),
        ('<g transform="scale(1 2 3)"/>', "cannot be drawn"),
        ('<g transform="translate 5 1"/>', "cannot be drawn"),
        ('<g transform="scale(2) rotate(4"/>', "cannot be drawn"),
        ('<g transform="matrix(1 0)"/>', "cannot be drawn"),
        ('<g transform="scale(1e308) scale(1e308)"/>', "cannot be drawn"),
        ("<g>", "not well-formed"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(body: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        parse(f"{HEAD}{body}</svg>")


def test_a_document_type_is_refused() -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaa">]>'
    with pytest.raises(RenderError):
        parse(f"{bomb}{HEAD}<text>&a;</text></svg>")


def test_transforms_apply_from_right_to_left() -> None:
    assert matrix_of("translate(10 0) scale(2)") == (2, 0, 0, 2, 10, 0)
    assert matrix_of("rotate(90 10 10)") == pytest.approx((0, 1, -1, 0, 20, 0))
    assert multiply(IDENTITY, matrix_of("matrix(1 2 3 4 5 6)")) == (1, 2, 3, 4, 5, 6)
