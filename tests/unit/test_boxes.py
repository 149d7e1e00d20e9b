from __future__ import annotations

from spritz_cli.scene import boxes

LEFT, RIGHT = (0, 0, 10, 10), (5, 2, 20, 8)


def test_two_boxes_have_a_common_part_and_a_union() -> None:
    assert boxes.overlap(LEFT, RIGHT)
    assert boxes.common(LEFT, RIGHT) == (5, 2, 10, 8)
    assert boxes.union([LEFT, RIGHT]) == (0, 0, 20, 10)


def test_boxes_that_only_touch_do_not_overlap() -> None:
    beside = (10, 0, 20, 10)
    assert not boxes.overlap(LEFT, beside)
    assert boxes.is_empty(boxes.common(LEFT, beside))


def test_a_rotated_box_keeps_an_upright_box_around_it() -> None:
    quarter_turn = (0.0, 1.0, -1.0, 0.0, 100.0, 0.0)
    assert boxes.transformed((0, 0, 10, 20), quarter_turn) == (80, 0, 100, 10)
    assert boxes.moved(10, 20, quarter_turn) == (80, 10)
