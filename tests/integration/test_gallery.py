"""The page of all films as people meet it: in a real browser, from a file and from a server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from spritz_cli.catalog.loader import Catalog
from spritz_cli.scene import tokens
from tests import documents
from tests.chromium import PROGRAM, Browser, browser
from tests.processes import ROOT
from tests.scenes import FROZEN
from tests.small import write_project

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no chromium is on PATH")

#: Colours go through YUV of 8 bits and back.
LEVELS = 3

#: How long a browser on a busy machine may take to show the frame that was sought.
FRAME_SECONDS = 25

#: Loads one film, looks at a frame `before_end` seconds before its end, and at a caption.
WATCH = """
(async (name, beforeEnd, x, y, near, patience) => {
  const video = document.querySelector(`video[data-film="${name}"]`);
  const next = event => new Promise((resolve, reject) => {
    video.addEventListener(event, resolve, {once: true});
    video.addEventListener("error", () => reject(video.error), {once: true});
  });
  const seek = second => {
    const there = next("seeked");
    video.currentTime = second;
    return there;
  };
  const pause = () => new Promise(done => setTimeout(done, 20));
  // A frame that was sought need not be there yet to be drawn.
  const presented = second => new Promise((resolve, reject) => {
    const late = () => reject(new Error(`no frame of ${name} at ${second} s in ${patience} s`));
    const timer = setTimeout(late, 1000 * patience);
    const look = (_, frame) => {
      if (Math.abs(frame.mediaTime - second) > near) return video.requestVideoFrameCallback(look);
      clearTimeout(timer);
      resolve();
    };
    video.requestVideoFrameCallback(look);
  });
  const drawn = async () => {
    const until = performance.now() + 1000 * patience;
    while (performance.now() < until) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      const picture = canvas.getContext("2d");
      picture.drawImage(video, 0, 0);
      const [r, g, b, alpha] = picture.getImageData(x, y, 1, 1).data;
      // Where nothing was drawn, a canvas is not black but transparent.
      if (alpha) return [r, g, b];
      await pause();
    }
    throw new Error(`no frame of ${name} could be drawn in ${patience} s`);
  };
  const waited = video.paused && video.readyState === 0;
  video.muted = true;
  video.preload = "auto";
  const loaded = next("canplaythrough");
  video.load();
  await loaded;
  const track = video.textTracks[0];
  while (!track.cues || !track.cues.length) await pause();
  const cue = track.cues[0];
  await seek((cue.startTime + cue.endTime) / 2);
  while (!track.activeCues.length) await pause();
  const caption = track.activeCues[0].text;
  const end = video.duration - beforeEnd;
  await Promise.all([presented(end), seek(end)]);
  const answer = {
    waited, caption, ready: video.readyState, duration: video.duration,
    size: [video.videoWidth, video.videoHeight], cues: track.cues.length, mode: track.mode,
    pixel: await drawn(),
  };
  video.preload = "none";
  return answer;
})
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short films and their page."""
    folder = tmp_path_factory.mktemp("gallery")
    write_project(folder, {"first": 5, "second": 5})
    vidgen(folder, "warm", "--all", "--sync")
    vidgen(folder, "gallery")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser, made: Path) -> Iterator[Browser]:
    """The page, opened from its file; it must not give rise to a single complaint."""
    chromium.complaints.clear()
    chromium.look(1280, 900)
    chromium.open((made / "gallery.html").as_uri())
    yield chromium
    assert not chromium.complaints


def vidgen(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "spritz_cli", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched(page: Browser, name: str, before_end: float, x: int, y: int) -> dict[str, Any]:
    given = [name, before_end, x, y, 2 / tokens.FPS, FRAME_SECONDS]
    answer: dict[str, Any] = page.run(f"{WATCH}(...{json.dumps(given)})")
    return answer


def shows(pixel: list[int], colour: str) -> bool:
    wanted = bytes.fromhex(colour.removeprefix("#"))
    return all(abs(a - b) <= LEVELS for a, b in zip(pixel, wanted, strict=True))


def test_the_command_says_what_it_wrote(made: Path) -> None:
    told = vidgen(made, "gallery", "--no-lint", "--out", "told.html")

    assert "told.html: 2 of 2 films ready" in told


def test_the_page_says_of_every_film_what_it_is(made: Path) -> None:
    html = (made / "gallery.html").read_text("utf-8")

    assert html.count("<dd>static, an animated infographic</dd>") == 2
    assert html.count("<dd>Tier 1 (generated footage) is not configured</dd>") == 2
    assert html.count("<dt>Lint</dt>") == 3


def test_films_that_are_not_made_have_their_card(made: Path) -> None:
    elsewhere = ("--state-dir", "empty", "--videos-dir", "empty-videos", "--no-lint")

    told = vidgen(made, "gallery", "newcomer", "first", "--out", "empty.html", *elsewhere)

    assert "0 of 1 film ready" in told
    assert "Take one." in (made / "empty.html").read_text("utf-8")


def test_a_later_page_tells_what_became_of_every_film(made: Path) -> None:
    catalog = (made / "templates.yaml").read_text()
    (made / "edited.yaml").write_text(catalog.replace("{count: 2}", "{count: 3}", 1))
    edited = ("--catalog", "edited.yaml", "--state-dir", "other", "--videos-dir", "other-videos")
    vidgen(made, "warm", "--all", "--sync", *edited)
    flags = ("--out", "after.html", "--against", "gallery.html", "--no-lint", "--json")

    answer = documents.read(vidgen(made, "gallery", *flags, *edited))

    assert [film["status"] for film in answer["films"]] == ["ready", "ready"]
    assert answer["comparison"]["changed"] == ["newcomer/first"]
    assert answer["comparison"]["unchanged"] == ["newcomer/second"]
    assert "parameters.count: 2 → 3" in (made / "after.html").read_text("utf-8")


@needs_chromium
@pytest.mark.parametrize("name", ["newcomer/first", "newcomer/second"])
def test_every_film_plays_with_captions_in_its_colours(page: Browser, name: str) -> None:
    seen = watched(page, name, 0.5, 145, 360)

    assert seen["waited"], "nothing may load or play by itself"
    assert seen["ready"] >= 2
    assert seen["size"] == [1280, 720]
    assert abs(seen["duration"] - 5) <= 1 / tokens.FPS
    assert (seen["mode"], seen["cues"], seen["caption"]) == ("showing", 1, "One at a time.")
    assert shows(seen["pixel"], tokens.COLOURS["teal"])


@needs_chromium
def test_the_page_works_from_a_web_server(chromium: Browser, made: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(made))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        chromium.open(f"http://127.0.0.1:{server.server_port}/gallery.html")
        seen = watched(chromium, "newcomer/first", 0.5, 145, 360)
        server.shutdown()

    assert seen["ready"] >= 2


@needs_chromium
def test_a_film_starts_from_the_keyboard_and_stops_the_other(page: Browser) -> None:
    page.run("document.querySelector('.start').focus()")
    page.press("Enter")
    page.run("new Promise(done => setTimeout(done, 400))")
    playing = "[...document.querySelectorAll('video')].map(video => !video.paused)"
    assert page.run(playing) == [True, False]

    page.run("document.querySelectorAll('.start')[1].click()")
    page.run("new Promise(done => setTimeout(done, 400))")

    assert page.run(playing) == [False, True]
    assert page.run("document.activeElement.dataset.film") == "newcomer/second"


@needs_chromium
def test_the_first_tab_stop_skips_to_the_films(page: Browser) -> None:
    page.press("Tab")

    assert page.run("document.activeElement.getAttribute('href')") == "#films"
    assert page.run("document.activeElement.getBoundingClientRect().top >= 0")


@needs_chromium
def test_the_filter_leaves_what_was_asked_for(page: Browser) -> None:
    page.run("document.getElementById('filter').focus()")
    page.call("Input.insertText", text="newcomer second")

    shown = "[...document.querySelectorAll('article:not([hidden])')].map(film => film.id)"
    assert page.run(shown) == ["newcomer-second"]
    assert page.run("document.getElementById('matches').textContent") == "1 of 2 shown"


@needs_chromium
def test_a_browser_that_plays_no_data_addresses_gets_the_film_otherwise(page: Browser) -> None:
    page.run("document.querySelector('source').dispatchEvent(new Event('error'))")
    seen = watched(page, "newcomer/first", 0.5, 145, 360)

    assert page.run("document.querySelector('source').src").startswith("blob:")
    assert seen["ready"] >= 2


@needs_chromium
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_sticks_out_at_any_width(page: Browser, width: int) -> None:
    page.look(width, 800)

    assert page.run("document.documentElement.scrollWidth") <= width


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_on_light_and_dark(page: Browser, scheme: str) -> None:
    page.look(1280, 900, prefers_color_scheme=scheme)

    assert page.run(CONTRASTS) == []


#: Texts whose contrast with what is behind them is below 4.5 : 1.
CONTRASTS = """
(() => {
  const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = colour => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(
      level => (level /= 255) <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/(, 0\\)|transparent)$/.test(colour)) return colour;
    }
    return "white";
  };
  const texts = "h1, h2, h3, p, dt, dd, a, label, figcaption, li";
  return [...document.body.querySelectorAll(texts)].filter(element => {
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map(element => element.textContent.slice(0, 40));
})()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the frozen catalog."""
    folder = tmp_path_factory.mktemp("whole")
    flags = ("--catalog", str(FROZEN))
    vidgen(folder, "warm", "--all", "--sync", *flags)
    vidgen(folder, "gallery", "--no-lint", *flags)
    return folder / "gallery.html"


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize(
    "persona", ["high_utilization", "variable_income", "subscription_heavy", "savings_builder"]
)
def test_every_film_plays_in_its_personas_colour(
    chromium: Browser, catalog: Catalog, whole: Path, persona: str
) -> None:
    chromium.complaints.clear()
    chromium.open(whole.as_uri())

    for template in catalog.select(persona):
        # The right end of the takeaway card, where no words reach.
        seen = watched(chromium, template.name, 1.0, 1190, 546)
        assert seen["waited"], template.name
        assert seen["ready"] >= 2, template.name
        assert seen["size"] == [1280, 720], template.name
        assert abs(seen["duration"] - template.duration_seconds) <= 1 / tokens.FPS, template.name
        assert seen["mode"] == "showing", template.name
        assert seen["cues"] == len(template.captions), template.name
        assert seen["caption"].split() == template.captions[0].text.split(), template.name
        assert shows(seen["pixel"], tokens.COLOURS[template.accent]), (template.name, seen["pixel"])
    assert not chromium.complaints
