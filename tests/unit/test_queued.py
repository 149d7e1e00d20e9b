"""What a run says of a job: the job's result and the film decide, never two hosts' clocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spritz_cli.films.planning import FORCED, PlanItem
from spritz_cli.models import OutcomeStatus, Video
from spritz_cli.runs.queued import _Awaited, _reported
from spritz_cli.testing import sample_template

TEMPLATE = sample_template()
OLD = Video(
    TEMPLATE.persona,
    TEMPLATE.topic,
    "ready",
    *TEMPLATE.card,
    TEMPLATE.alt,
    sha256="old",
    # The clock of the host that made it is far ahead of the run's.
    created_at="2999-01-01T00:00:00.000+00:00",
)
NEW = replace(OLD, sha256="new", created_at="1999-01-01T00:00:00.000+00:00")

MADE = {"status": "success", "fallback_used": "static", "attempt": 1}
FOUND = MADE | {"fallback_used": "cache"}


def awaited(*, ours: bool = True, attempts: int = 1, video: Video | None = OLD) -> _Awaited:
    item = PlanItem(TEMPLATE, "make", "inputs changed", video=video)
    return _Awaited(item, "job", ours, attempts)


@pytest.mark.parametrize(
    ("film", "result", "video", "status"),
    [
        pytest.param(awaited(), MADE, NEW, "made", id="ours made it"),
        pytest.param(awaited(ours=False), MADE, NEW, "joined", id="another run's job made it"),
        pytest.param(awaited(), FOUND, OLD, "unchanged", id="the planned film was current"),
        pytest.param(awaited(), FOUND, NEW, "joined", id="another run published meanwhile"),
        pytest.param(
            awaited(), FOUND | {"attempt": 2}, NEW, "made", id="the killed attempt published"
        ),
        pytest.param(
            awaited(attempts=2), FOUND, NEW, "made", id="the attempt that was lost published"
        ),
        pytest.param(awaited(video=None), FOUND, NEW, "joined", id="there was no film"),
    ],
)
def test_a_run_says_what_became_of_its_job(
    film: _Awaited, result: dict, video: Video, status: OutcomeStatus
) -> None:
    assert _reported(film, result, video) == status


def test_the_same_bytes_made_again_are_another_film() -> None:
    item = PlanItem(TEMPLATE, "make", FORCED, video=OLD)

    assert not item.is_new(OLD)
    assert item.is_new(replace(OLD, created_at=NEW.created_at))
