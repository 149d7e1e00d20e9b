"""Films of generated footage, from the command line to the provider's bill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import documents
from tests.processes import ROOT
from tests.small import write_project
from tests.videos_server.videos_api import FakeVideosAPI

#: One film of 5 s is ordered as 8 s at $0.10.
PRICE = 0.80
KEY = "sk-of-this-test"


@dataclass
class Studio:
    """A small project and its provider."""

    folder: Path
    api: FakeVideosAPI

    def vidgen(self, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        code, out, err = self.run(*arguments, "--json", **environment)
        assert out, err
        return code, documents.read(out)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "spritz_cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.provider, **environment},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert KEY not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    @property
    def provider(self) -> dict[str, str]:
        return {
            "VIDGEN_PROVIDER": "openai",
            "VIDGEN_BASE_URL": self.api.base_url,
            "VIDGEN_API_KEY": KEY,
        }

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "templates.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def live(self, topic: str = "one") -> dict[str, Any]:
        _, document = self.vidgen("status", "newcomer", topic)
        video: dict[str, Any] = document["films"][0]["video"]
        return video


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    write_project(tmp_path, {"one": 5})
    with FakeVideosAPI(job_seconds=0.1, api_key=KEY, poll_after_ms=1000) as api:
        yield Studio(tmp_path, api)


def test_footage_is_bought_once_and_words_are_free(studio: Studio) -> None:
    code, first = studio.vidgen("warm", "--all", "--sync", "--min-tier", "sora")
    assert (code, first["receipt"]["spent_usd"]) == (0, PRICE)
    live = studio.live()
    told = live["fallback_used"], live["provider"], live["model"], live["cost_usd"]
    assert told == ("sora", "openai", "sora-2", PRICE)

    _, again = studio.vidgen("warm", "--all")
    assert again["totals"]["unchanged"] == 1
    assert again["receipt"]["saved_by_cache_usd"] == PRICE

    studio.edit("Begin with one.", "Begin with two.")
    _, plan = studio.vidgen("plan")
    assert (plan["films"][0]["tier"], plan["totals"]["cost_usd"]) == ("sora", 0)
    _, redrawn = studio.vidgen("warm", "--all")
    assert redrawn["totals"]["made"] == 1
    assert redrawn["receipt"]["saved_by_redrawing_usd"] == PRICE
    assert studio.live()["hash"] != live["hash"]

    assert studio.api.posts == 1
    assert studio.vidgen("budget")[1]["spent_usd"] == PRICE


def test_footage_outlives_its_provider(studio: Studio) -> None:
    studio.vidgen("warm", "--all", "--sync")
    off = {"VIDGEN_PROVIDER": ""}
    assert studio.vidgen("plan", **off)[1]["totals"]["keep"] == 1

    studio.edit("Begin with one.", "Begin with two.")
    studio.vidgen("warm", "--all", "--sync", **off)
    assert studio.live()["fallback_used"] == "sora"
    assert studio.api.posts == 1


def test_what_the_budget_does_not_allow_is_drawn_and_made_up_for(studio: Studio) -> None:
    poor = {"VIDGEN_DAILY_BUDGET_USD": "0.50"}
    _, plan = studio.vidgen("plan", **poor)
    assert (plan["totals"]["cost_usd"], plan["totals"]["owed_usd"]) == (0, PRICE)
    code, first = studio.vidgen("warm", "--all", "--sync", "--min-tier", "sora", **poor)

    assert (code, studio.api.posts) == (1, 0)
    assert first["receipt"]["prevented_by_cap_usd"] == PRICE
    live = studio.live()
    assert (live["fallback_used"], live["fallback_reason"]) == ("static", "budget")

    _, still = studio.vidgen("warm", "--all", "--sync", **poor)
    assert still["totals"]["unchanged"] == 1

    _, later = studio.vidgen("warm", "--all", "--sync")
    assert (later["totals"]["made"], later["receipt"]["spent_usd"]) == (1, PRICE)
    assert studio.live()["fallback_used"] == "sora"


@pytest.mark.parametrize("way", [[], ["--sync"]], ids=["jobs", "sync"])
def test_whoever_ignores_the_budget_pays_and_is_counted(studio: Studio, way: list[str]) -> None:
    poor = {"VIDGEN_DAILY_BUDGET_USD": "0"}
    studio.vidgen("warm", "--all", "--ignore-budget", *way, **poor)

    assert studio.live()["fallback_used"] == "sora"
    assert studio.vidgen("budget", **poor)[1]["spent_usd"] == PRICE


def test_a_provider_that_fails_leaves_a_drawn_film_and_a_date(studio: Studio) -> None:
    studio.api.behave("job_fails")
    code, _ = studio.vidgen("warm", "--all", "--sync")
    live = studio.live()
    assert code == 0
    assert (live["fallback_used"], live["fallback_reason"]) == ("static", "provider_error")

    studio.api.behave("")
    _, plan = studio.vidgen("plan")
    assert plan["totals"]["keep"] == 1
    assert plan["films"][0]["obstacle"]["message"] == live["error"]
    (film,) = studio.vidgen("status")[1]["films"]
    assert film["obstacle"]["message"] == live["error"]
    assert film["obstacle"]["retry_at"] == plan["films"][0]["obstacle"]["retry_at"]
    code, out, _ = studio.run("plan")
    assert "footage tried again in 59 min" in out
    assert " tried again in 59 min" in studio.run("status", "newcomer", "one")[1]

    studio.vidgen("warm", "--all", "--sync", "--force")
    assert studio.live()["fallback_used"] == "sora"
    assert studio.api.posts == 2


def test_without_a_provider_nobody_is_asked_and_nothing_is_said(
    studio: Studio, tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(SPY)
    watched = {
        "PYTHONPATH": f"{spy}:{ROOT}",
        "CALLS": str(spy / "calls"),
        "VIDGEN_PROVIDER": "",
        "VIDGEN_BASE_URL": "",
    }
    code, out, err = studio.run("warm", "--all", "--sync", **watched)

    assert code == 0
    assert "Tier 1 (generated footage) is not configured; the film is an animated" in err
    assert "Footage:" not in out
    calls = (spy / "calls").read_text().splitlines()
    assert any(call == "import spritz_cli.tiers.static" for call in calls)
    assert not [call for call in calls if call.startswith(("connect", "import openai"))]
    assert studio.api.requests == []


#: Records every connection that is not to a Unix socket, and every import.
SPY = """\
import os
import sys

def note(event, arguments):
    if event == "socket.connect" and not isinstance(arguments[1], (str, bytes)):
        write(f"connect {arguments[1]}")
    elif event == "import" and arguments[0].startswith(("openai", "spritz_cli.tiers")):
        write(f"import {arguments[0]}")

def write(line):
    handle = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{line}\\n".encode())
    os.close(handle)

sys.addaudithook(note)
"""
