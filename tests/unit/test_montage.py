from __future__ import annotations

from pathlib import Path

from spritz_cli.media.montage import Clip, Frame, montage

FRAME = Frame(1280, 720, 30, window=604)


def graph(*lengths: int, frames: int = 450) -> str:
    clips = [Clip(Path(f"{index}.mp4"), length, "auto") for index, length in enumerate(lengths)]
    return montage(clips, FRAME, frames)


def test_segments_fade_into_each_other_when_there_is_footage_to_spare() -> None:
    assert "xfade=duration=0.4:offset=7.600000" in graph(240, 240)
    assert "concat" not in graph(240, 240)


def test_segments_are_cut_when_fading_would_cost_too_much() -> None:
    assert "xfade" not in graph(230, 230)
    assert "[s0][s1]concat=n=2[joined]" in graph(230, 230)


def test_a_segment_too_short_to_fade_in_and_out_is_cut() -> None:
    assert "xfade" not in graph(450, 20)


def test_each_fade_counts_from_where_the_one_before_has_left_the_film() -> None:
    three = graph(150, 150, 300)
    assert "[s0][s1]xfade=duration=0.4:offset=4.600000[j1]" in three
    assert "[j1][s2]xfade=duration=0.4:offset=9.200000[joined]" in three


def test_a_single_segment_has_no_joint() -> None:
    assert "[s0]concat=n=1[joined]" in graph(450)


def test_a_film_has_exactly_the_frames_that_were_asked_for() -> None:
    assert "stop_mode=clone,trim=end_frame=450," in graph(400)
