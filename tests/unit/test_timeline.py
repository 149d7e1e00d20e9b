from __future__ import annotations

import itertools

import pytest

from spritz_cli.scene.timeline import EASINGS, VERBS, Moment, blend, mix, point, px


@pytest.mark.parametrize("easing", EASINGS)
def test_every_easing_starts_at_nothing_and_lands_exactly(easing: str) -> None:
    assert EASINGS[easing](0.0) == pytest.approx(0.0)
    assert EASINGS[easing](1.0) == 1.0


def test_progress_waits_before_its_start_and_stays_after_its_end() -> None:
    assert [Moment(t, 15).progress(2, 1) for t in (0, 2, 2.5, 3, 9)] == [0, 0, 0.5, 1, 1]


def test_a_count_lands_exactly_on_its_value() -> None:
    assert Moment(3.0, 15).count(2.0, 0, 1234.56, 1.0) == 1234.56


def test_a_value_is_led_through_its_stops() -> None:
    stops = ((1, 10), (2, 20), (4, 5))
    assert [Moment(t, 15).along(*stops) for t in (0, 1, 2, 3, 4, 9)] == [10, 10, 20, 12.5, 5, 5]


def test_a_thing_that_has_come_is_drawn_without_attributes() -> None:
    assert Moment(5, 15).rise(2) == ""


def test_a_thing_rises_24_px_while_it_fades_in() -> None:
    assert Moment(2.0, 15).rise(2.0) == ' transform="translate(0 24)" opacity="0.000"'


def test_a_thing_is_gone_by_its_out() -> None:
    assert 'opacity="0.000"' in Moment(4.0, 15).fade(2.0, out=4.0)


@pytest.mark.parametrize("verb", ["fade", "rise", "swap"])
def test_the_old_is_gone_before_the_new_is_seen(verb: str) -> None:
    """Two numbers at one place never lie on each other."""
    for tenth in range(30, 60):
        moment = Moment(tenth / 10, 15)
        old, new = getattr(moment, verb)(1.0, 4.5), getattr(moment, verb)(4.5)
        assert 'opacity="0.000"' in old or 'opacity="0.000"' in new


def test_ambient_motion_is_at_rest_in_the_final_hold() -> None:
    still = Moment(0, 15).still
    assert still == 12.6
    assert Moment(still, 15).wave(2.4) == Moment(14.9, 15).wave(2.4) == 0
    assert Moment(still, 15).drift(34) == pytest.approx(Moment(14.9, 15).drift(34))


def test_drifting_never_jumps_nor_turns_back() -> None:
    way = [Moment(frame / 30, 15).drift(30) for frame in range(450)]
    steps = [after - before for before, after in itertools.pairwise(way)]
    assert min(steps) >= -1e-9
    assert max(steps) <= 1.0 + 1e-9


def test_a_colour_blends_between_two() -> None:
    assert blend(0, "#000000", "#FFFFFF") == "#000000"
    assert blend(0.5, "#000000", "#FF8000") == "#804000"
    assert blend(7, "#000000", "#FFFFFF") == "#FFFFFF"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-0.001, "0"), (2.504, "2.5"), (100.0, "100"), (0.25, "0.25")]
)
def test_coordinates_are_short_and_stable(value: float, text: str) -> None:
    assert px(value) == text


def test_angles_turn_against_the_clock_from_the_right() -> None:
    assert point(100, 100, 50, 90) == pytest.approx((100, 50))


def test_a_scene_sees_every_verb() -> None:
    assert set(Moment(0, 15).verbs()) == {"t", "D", *VERBS}


def test_mixing_goes_from_start_to_end() -> None:
    assert mix(0.25, 10, 20) == 12.5
