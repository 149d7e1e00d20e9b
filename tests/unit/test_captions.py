from __future__ import annotations

from spritz_cli.media.captions import webvtt
from spritz_cli.models import Cue

CUES = (Cue(0.3, 2.9, "Owed < limit\n& more"), Cue(61.0, 62.25, "Later"))


def test_captions_stand_in_their_lane_with_markup_escaped() -> None:
    assert webvtt(CUES) == (
        "WEBVTT\n\n"
        "00:00.300 --> 00:02.900 line:86%\nOwed &lt; limit\n&amp; more\n\n"
        "01:01.000 --> 01:02.250 line:86%\nLater\n"
    )


def test_a_film_without_captions_has_an_empty_track() -> None:
    assert webvtt(()) == "WEBVTT\n"
