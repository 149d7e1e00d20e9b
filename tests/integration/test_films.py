"""Real scenes, encoded and fully decoded again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from spritz_cli.errors import EncoderKilled, FilmDamaged, RenderError
from spritz_cli.media import ffmpeg
from spritz_cli.media.captions import webvtt
from spritz_cli.models import Cue
from spritz_cli.scene import tokens
from spritz_cli.tiers.static import StaticTier
from tests.scenes import shipped_scenes

SHORT = 4


@pytest.fixture
def short_template(catalog):
    """A film of four seconds, with the takeaway and the final hold."""
    (template,) = catalog.select(topic="credit_utilization")
    return replace(template, duration_seconds=SHORT, captions=(Cue(0.3, 2.9, "Think of a tile."),))


def ignore_progress(share: float, stage: str = "") -> None:
    pass


@pytest.fixture
def film(short_template, tmp_path: Path):
    return StaticTier(shipped_scenes()).make(short_template, tmp_path, ignore_progress, "capped")


def test_a_film_is_what_players_expect(film) -> None:
    probe = ffmpeg.probe(film.video)
    assert (probe.width, probe.height, probe.pix_fmt) == (1280, 720, "yuv420p")
    assert probe.frames == SHORT * tokens.FPS
    assert probe.duration_seconds == SHORT
    assert "bt709" in probe.color_space
    assert probe.faststart


def test_poster_and_captions_lie_beside_the_film(film) -> None:
    with Image.open(film.poster) as poster:
        assert (poster.format, poster.size) == ("WEBP", (1280, 720))
    assert film.captions.read_text("utf-8") == webvtt([Cue(0.3, 2.9, "Think of a tile.")])


def test_captions_are_in_the_film_too(film) -> None:
    done = subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-i", film.video, "-map", "0:s:0", "-f", "webvtt", "-"],
        capture_output=True,
        text=True,
    )
    assert "Think of a tile." in done.stdout


def test_brand_colours_survive_the_encoder(film) -> None:
    accent = bytes.fromhex(tokens.COLOURS["indigo"].removeprefix("#"))
    decoded = decoded_pixel(film.video, 3.5, 1100, 546)
    assert all(abs(a - b) <= 2 for a, b in zip(decoded, accent, strict=True))


def decoded_pixel(path: Path, t: float, x: int, y: int) -> list[int]:
    """Return the colour that a player shows at a point, from limited-range BT.709."""
    command = [ffmpeg.binary(), "-v", "error", "-ss", str(t), "-i", str(path), "-frames:v", "1"]
    command += ["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    planes = subprocess.run(command, capture_output=True, check=True).stdout
    size = 1280 * 720
    chroma = (y // 2) * 640 + x // 2
    luma = (planes[y * 1280 + x] - 16) * 255 / 219
    blue, red = ((planes[size + at + chroma] - 128) * 255 / 224 for at in (0, size // 4))
    rgb = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
    return [round(value) for value in rgb]


def test_the_same_film_has_the_same_bytes(short_template, film, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    other = StaticTier(shipped_scenes()).make(short_template, again, ignore_progress, "capped")
    for first, second in zip(
        (film.video, film.poster, film.captions),
        (other.video, other.poster, other.captions),
        strict=True,
    ):
        assert first.read_bytes() == second.read_bytes()


def test_progress_goes_from_nothing_to_all(short_template, tmp_path: Path) -> None:
    seen: list[float] = []
    StaticTier(shipped_scenes()).make(
        short_template, tmp_path, lambda share, stage="": seen.append(share), "capped"
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_truncated_film_is_found_out(film) -> None:
    data = film.video.read_bytes()
    film.video.write_bytes(data[: len(data) // 2])
    with pytest.raises(FilmDamaged, match=r"film.mp4 does not play: .*corrupt"):
        ffmpeg.probe(film.video)


def test_words_in_the_path_of_a_film_are_no_complaint(film, tmp_path: Path) -> None:
    path = tmp_path / "invalid error.mp4"
    path.write_bytes(film.video.read_bytes())
    assert ffmpeg.probe(path).frames


def test_a_picture_that_is_no_film_is_found_out(film, tmp_path: Path) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_bytes(b"<svg/>")
    with pytest.raises(RenderError):
        ffmpeg.probe(fake)


def test_a_scene_that_fails_halfway_leaves_no_encoder_behind(
    short_template, tmp_path: Path
) -> None:
    def frames():
        yield bytes(4 * 64 * 64)
        raise RenderError("the scene broke")

    with pytest.raises(RenderError, match="the scene broke"):
        ffmpeg.encode(frames(), tmp_path / "x.mp4", width=64, height=64, fps=30)
    assert children_of(os.getpid(), "ffmpeg") == []


def children_of(pid: int, named: str) -> list[int]:
    """Return the running children, from /proc."""
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")
            if named in state[0] and int(state[2].split()[1]) == pid:
                children.append(int(folder.name))
    return children


def test_a_held_frame_gives_the_bytes_of_a_repeated_one(tmp_path: Path) -> None:
    red, blue = (bytes(shade) * 64 * 64 for shade in ((0, 0, 255, 0), (255, 0, 0, 0)))
    held, repeated = tmp_path / "held.mp4", tmp_path / "repeated.mp4"
    ffmpeg.encode([red, blue], held, width=64, height=64, fps=30, held=28)
    ffmpeg.encode([red] + 29 * [blue], repeated, width=64, height=64, fps=30)
    assert held.read_bytes() == repeated.read_bytes()
    assert ffmpeg.probe(held).frames == 30


def test_an_encoder_that_cannot_write_says_why(tmp_path: Path) -> None:
    frames = [bytes(4 * 64 * 64)] * 3
    with pytest.raises(RenderError, match=r"ffmpeg failed.*No such file"):
        ffmpeg.encode(frames, tmp_path / "gone" / "x.mp4", width=64, height=64, fps=30)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the encoder in /proc")
def test_an_encoder_that_somebody_kills_is_told_from_one_that_fails(tmp_path: Path) -> None:
    def frames() -> Iterator[bytes]:
        for pid in children_of(os.getpid(), "ffmpeg"):
            os.kill(pid, signal.SIGKILL)
        yield from [bytes(4 * 64 * 64)] * 3

    with pytest.raises(EncoderKilled, match="killed by signal 9"):
        ffmpeg.encode(frames(), tmp_path / "x.mp4", width=64, height=64, fps=30)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
@pytest.mark.parametrize("megabytes", [60, 260])
def test_an_encoder_without_memory_is_told_from_one_that_fails(
    tmp_path: Path, megabytes: int
) -> None:
    def frames() -> Iterator[bytes]:
        (pid,) = children_of(os.getpid(), "ffmpeg")
        resource.prlimit(pid, resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        yield from [bytes(4 * 1280 * 720)] * 30

    with pytest.raises(EncoderKilled):
        ffmpeg.encode(frames(), tmp_path / "x.mp4", width=1280, height=720, fps=30)


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces ffmpeg by a program that only sleeps, with a short timeout."""
    monkeypatch.setattr(ffmpeg, "binary", lambda: str(_program(tmp_path, "exec sleep 100")))
    monkeypatch.setattr(ffmpeg, "TIMEOUT", 0.5)


def _program(folder: Path, script: str) -> Path:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.usefixtures("hanging")
@pytest.mark.parametrize("size", [64, 1280], ids=["ends no film", "takes no frame"])
def test_an_encoder_that_hangs_is_ended(tmp_path: Path, size: int) -> None:
    frames = [bytes(4 * size * size)] * 3
    with pytest.raises(EncoderKilled, match="hung"):
        ffmpeg.encode(frames, tmp_path / "x.mp4", width=size, height=size, fps=30)
    assert children_of(os.getpid(), "sleep") == []


@pytest.mark.usefixtures("hanging")
def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(EncoderKilled, match="hung"):
        ffmpeg.probe(tmp_path / "x.mp4")
    assert children_of(os.getpid(), "sleep") == []


def test_an_encoder_that_cannot_be_watched_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(EncoderKilled, match="can't start new thread"):
        ffmpeg.encode([bytes(4 * 64 * 64)], tmp_path / "x.mp4", width=64, height=64, fps=30)
    assert children_of(os.getpid(), "ffmpeg") == []


def test_an_encoder_is_not_blamed_for_a_slow_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames() -> Iterator[bytes]:
        for _ in range(3):
            time.sleep(1.5)
            yield bytes(4 * 64 * 64)

    monkeypatch.setattr(ffmpeg, "TIMEOUT", 4.0)
    ffmpeg.encode(frames(), tmp_path / "x.mp4", width=64, height=64, fps=30)
    assert ffmpeg.probe(tmp_path / "x.mp4").frames == 3


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit limits something else there")
def test_a_decoder_without_memory_says_nothing_against_the_film(
    film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, complaints = ffmpeg.binary(), []
    for megabytes in range(176, 256, 8):
        program = _program(tmp_path, f'ulimit -v {megabytes << 10}; exec "{real}" "$@"')
        monkeypatch.setattr(ffmpeg, "binary", lambda program=program: str(program))
        try:
            ffmpeg.probe(film.video)
        except EncoderKilled as exc:
            complaints.append(exc.message)
    assert complaints
    assert not [text for text in complaints if "frame=" in text]


def test_the_fingerprint_follows_what_is_drawn(catalog) -> None:
    tier = StaticTier(shipped_scenes())
    (template,) = catalog.select(topic="cash_buffer")
    inputs = tier.inputs(template)
    assert "cash_buffer.svg.j2" in inputs["scene"]
    assert "kit/tank.svg.j2" in inputs["scene"]
    assert inputs["encoder"][0] == "9.0.2" or inputs["encoder"][0][0].isdigit()
