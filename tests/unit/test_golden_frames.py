"""Golden frames: the raw pixels of the finished films at three instants.

They are drawn by today's scenes from the frozen catalog beside the digests. A change here is a
change of the code that every viewer sees: look at the film, then write the new digests with
`make golden`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenes import frame_digest

GOLDEN = Path(__file__).parents[1] / "golden" / "frames.json"
FRAMES = json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize("name", FRAMES)
def test_a_finished_film_is_drawn_as_it_was(name: str, catalog) -> None:
    template = catalog.get(*name.split("/"))
    drawn = {second: frame_digest(template, float(second)) for second in FRAMES[name]}
    assert drawn == FRAMES[name]
