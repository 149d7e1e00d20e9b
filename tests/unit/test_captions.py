from __future__ import annotations

import pytest

from spritz_cli.errors import RenderError
from spritz_cli.media.captions import parse_webvtt, webvtt
from spritz_cli.models import Cue

CUES = (Cue(0.3, 2.9, "Owed < limit\n& more"), Cue(61.0, 62.25, "Later"))


def test_captions_read_back_as_they_were_written() -> None:
    assert parse_webvtt(webvtt(CUES)) == CUES


def test_captions_stand_in_their_lane() -> None:
    assert "00:00.300 --> 00:02.900 line:86%\nOwed &lt; limit\n&amp; more" in webvtt(CUES)
    assert "01:01.000 --> 01:02.250" in webvtt(CUES)


@pytest.mark.parametrize(
    "text", ["", "WEBVTT\n\n0:1 --> 2\nx", "WEBVTT\n\n00:00.000 --> 00:01.000"]
)
def test_what_is_no_caption_file_is_refused(text: str) -> None:
    with pytest.raises(RenderError):
        parse_webvtt(text)
