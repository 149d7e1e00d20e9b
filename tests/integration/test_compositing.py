"""Real footage of every kind that a provider may send, drawn over and decoded again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from spritz_cli.errors import RenderError, StorageError
from spritz_cli.media import ffmpeg
from spritz_cli.models import Cue, RenderedFilm, Template
from spritz_cli.scene import tokens
from spritz_cli.scene.drawing import Scene
from spritz_cli.tiers.compositing import FRAME, compose
from spritz_cli.tiers.footage import OVERLAY
from tests.integration.test_films import children_of
from tests.scenes import shipped_scenes

SHORT = 4

#: A point that is never drawn over, and a point of the takeaway card.
FREE, TAKEAWAY = (900, 300), (1150, 546)

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
BT601 = (
    "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,"
    "setparams=range=tv:colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
)
UNTAGGED = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=colorspace=unknown"
RED, TEAL = (217, 81, 44), (15, 118, 110)


@pytest.fixture
def template(catalog):
    """A film of four seconds with figures, takeaway and final hold."""
    (template,) = catalog.select(topic="cash_buffer")
    return replace(template, duration_seconds=SHORT, captions=(Cue(0.3, 2.9, "Think of a tank."),))


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[..., Path]:
    """Make footage from a test source of ffmpeg."""

    def made(source: str, *options: str, name: str = "footage.mp4") -> Path:
        path = tmp_path / name
        run("-f", "lavfi", "-i", source, *(options or ("-vf", BT709, *X264)), str(path))
        return path

    return made


@pytest.fixture
def composed(template, tmp_path: Path) -> Callable[..., RenderedFilm]:
    def make(*segments: Path, **changes) -> RenderedFilm:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        clips = [ffmpeg.footage(path, tokens.FPS) for path in segments]
        return compose(overlay(replace(template, **changes)), clips, scratch, silent)

    return make


def overlay(template: Template) -> Scene:
    return shipped_scenes().open(replace(template, fallback_static=OVERLAY))


def silent(share: float, stage: str = "") -> None:
    pass


def run(*arguments: str) -> None:
    subprocess.run([ffmpeg.binary(), "-nostdin", "-v", "error", "-y", *arguments], check=True)


def colour(film: RenderedFilm, second: float, point: tuple[int, int]) -> tuple[int, int, int]:
    """Return red, green and blue of a point of a finished film."""
    pixels = ffmpeg.still(film.video, second, width=1280, height=720)
    at = 4 * (point[1] * 1280 + point[0])
    blue, green, red = pixels[at : at + 3]
    return red, green, blue


def close(one, other, by: int = 3) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def plain(rgb: tuple[int, int, int], seconds: float = SHORT, size: str = "1280x720") -> str:
    red, green, blue = rgb
    return f"color=0x{red:02X}{green:02X}{blue:02X}:s={size}:r=24:d={seconds}"


def test_a_film_of_footage_is_what_players_expect(shoot, composed) -> None:
    sound = ("-f", "lavfi", "-i", "sine=d=5", "-c:a", "aac")
    film = composed(shoot("testsrc2=s=1280x720:r=24:d=5", *sound, *X264))
    probe = ffmpeg.probe(film.video)
    assert (probe.width, probe.height, probe.pix_fmt) == (1280, 720, "yuv420p")
    assert (probe.frames, probe.duration_seconds) == (SHORT * tokens.FPS, SHORT)
    assert "bt709" in probe.color_space
    assert probe.faststart
    assert (film.duration_seconds, film.width, film.height) == (SHORT, 1280, 720)


def test_the_sound_of_footage_is_left_out_and_captions_are_in(shoot, composed) -> None:
    sound = ("-f", "lavfi", "-i", "sine=d=5", "-c:a", "aac")
    film = composed(shoot("testsrc2=s=640x360:r=24:d=5", *sound, *X264))
    stderr = subprocess.run(
        [ffmpeg.binary(), "-hide_banner", "-i", film.video], capture_output=True, text=True
    ).stderr
    assert "Audio:" not in stderr
    assert "Subtitle: mov_text" in stderr
    assert "Think of a tank." in film.captions.read_text("utf-8")


@pytest.mark.parametrize("tags", [BT709, BT601, UNTAGGED], ids=["bt709", "bt601", "untagged"])
def test_colours_of_footage_and_brand_arrive_as_they_were(tags: str, shoot, composed) -> None:
    film = composed(shoot(plain(TEAL), "-vf", tags, *X264))
    accent = bytes.fromhex(tokens.COLOURS["teal"].removeprefix("#"))
    assert close(colour(film, 1.0, FREE), TEAL)
    assert close(colour(film, 3.5, TAKEAWAY), accent)


def test_the_poster_is_the_last_frame(shoot, composed) -> None:
    film = composed(shoot(plain(TEAL)))
    with Image.open(film.poster) as poster:
        assert (poster.format, poster.size) == ("WEBP", (1280, 720))
        assert close(poster.convert("RGB").getpixel(FREE), TEAL)
        shown = poster.convert("RGB").getpixel(TAKEAWAY)
    assert close(shown, colour(film, SHORT - 1.5 / tokens.FPS, TAKEAWAY), 4)


@pytest.mark.parametrize("size", ["720x1280", "1920x800", "640x640", "853x481"])
def test_the_middle_of_the_footage_fills_the_window(size: str, shoot, composed) -> None:
    cross = "drawbox=x=iw/2-8:y=ih/2-8:w=16:h=16:color=white:t=fill,pad=ceil(iw/2)*2:ceil(ih/2)*2,"
    film = composed(shoot(plain((0, 0, 0), size=size), "-vf", cross + BT709, *X264))
    assert close(colour(film, 0.2, (640, FRAME.window // 2)), (255, 255, 255), 12)
    assert close(colour(film, 0.2, (10, 300)), (0, 0, 0), 12)


def test_the_last_picture_of_short_footage_is_held(shoot, composed) -> None:
    film = composed(shoot(plain(TEAL, 1.5), name="a.mp4"), shoot(plain(RED, 1.0), name="b.mp4"))
    assert close(colour(film, 1.4, FREE), TEAL)
    assert close(colour(film, 1.6, FREE), RED)
    assert close(colour(film, 3.9, FREE), RED)


def test_segments_fade_into_each_other(shoot, composed) -> None:
    film = composed(shoot(plain(TEAL, 2.5), name="a.mp4"), shoot(plain(RED, 2.5), name="b.mp4"))
    half = tuple((a + b) // 2 for a, b in zip(TEAL, RED, strict=True))
    assert close(colour(film, 2.0, FREE), TEAL)
    assert close(colour(film, 2.3, FREE), half, 25)
    assert close(colour(film, 2.6, FREE), RED)


def test_the_same_footage_gives_the_same_bytes(shoot, composed) -> None:
    segments = [
        shoot("testsrc2=s=854x480:r=25:d=3", name="a.mp4"),
        shoot("testsrc2=s=1280x720:r=24:d=3", name="b.mp4"),
    ]
    first = [path.read_bytes() for path in files(composed(*segments))]
    assert [path.read_bytes() for path in files(composed(*segments))] == first


def files(film: RenderedFilm) -> tuple[Path, Path, Path]:
    return film.video, film.poster, film.captions


@pytest.mark.parametrize(
    ("name", "source", "options"),
    [
        ("odd.webm", "testsrc2=s=853x481:r=25:d=4", ("-c:v", "libvpx", "-cpu-used", "8")),
        (
            "deep.mp4",
            "testsrc2=s=640x360:r=60:d=4",
            ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"),
        ),
        (
            "uneven.mp4",
            "testsrc2=s=640x360:r=30:d=5",
            ("-vf", "select='not(mod(n,7))+gt(n,60)'", "-fps_mode", "vfr", *X264),
        ),
        ("wide.mp4", "testsrc2=s=720x576:r=25:d=4", ("-vf", "setsar=64/45", *X264)),
        ("ribbon.mp4", "testsrc2=s=8x720:r=25:d=4", X264),
        ("title.mp4", "testsrc2=s=640x360:d=4", ("-metadata", "title=invalid error \udcff", *X264)),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_footage_of_any_kind_is_taken(name, source, options, shoot, composed) -> None:
    film = composed(shoot(source, *options, name=name))
    assert ffmpeg.probe(film.video).frames == SHORT * tokens.FPS


def test_footage_that_is_to_be_turned_is_turned(shoot, composed, tmp_path: Path) -> None:
    lying = shoot("color=red:s=640x360:d=4,drawbox=w=iw/2:color=blue:t=fill", *X264)
    turned = tmp_path / "turned.mp4"
    run("-display_rotation", "90", "-i", str(lying), "-c", "copy", str(turned))
    film = composed(turned)
    left, right = colour(film, 0.2, (480, 302)), colour(film, 0.2, (800, 302))
    assert close(left, right)
    assert not close(colour(film, 0.2, (800, 200)), colour(film, 0.2, (800, 400)), 100)


def test_footage_of_less_than_half_a_film_is_refused(shoot, composed) -> None:
    with pytest.raises(RenderError, match=r"1\.0 s of footage are too little for a film of 4 s"):
        composed(shoot(plain(TEAL, 1.0)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>busy</html>",
        b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n",
        bytes(range(256)) * 40,
    ],
    ids=["empty", "page", "playlist", "noise"],
)
def test_what_is_no_footage_is_refused(content: bytes, composed, tmp_path: Path) -> None:
    path = tmp_path / "footage.mp4"
    path.write_bytes(content)
    with pytest.raises(RenderError, match=r"the footage footage\.mp4 does not play"):
        composed(path)


def test_a_download_that_broke_off_is_refused(shoot, composed) -> None:
    path = shoot("testsrc2=s=640x360:d=5", *X264, "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    with pytest.raises(RenderError, match="does not play"):
        composed(path)


def test_sound_alone_is_refused(shoot, composed) -> None:
    with pytest.raises(RenderError, match="does not play"):
        composed(shoot("sine=d=5", "-c:a", "aac"))


def test_footage_whose_size_changes_halfway_is_refused(shoot, composed, tmp_path: Path) -> None:
    parts = [
        shoot(f"testsrc2=s={size}:r=25:d=3", "-c:v", "libvpx", "-cpu-used", "8", name=name)
        for size, name in (("320x180", "small.webm"), ("640x360", "large.webm"))
    ]
    listed, both = tmp_path / "list.txt", tmp_path / "both.webm"
    listed.write_text("".join(f"file {part.name}\n" for part in parts))
    run("-f", "concat", "-i", str(listed), "-c", "copy", str(both))
    with pytest.raises(RenderError, match="parameters changed"):
        composed(both)


def test_a_drawing_that_fails_halfway_leaves_no_encoder_behind(shoot, tmp_path: Path) -> None:
    def broken():
        yield bytes(4 * 1280 * 720)
        raise RenderError("the scene broke")

    clips = [ffmpeg.footage(shoot(plain(TEAL)), tokens.FPS)]
    vtt = tmp_path / "film.vtt"
    vtt.write_text("WEBVTT\n")
    with pytest.raises(RenderError, match="the scene broke"):
        ffmpeg.compose(clips, broken(), tmp_path / "x.mp4", frame=FRAME, duration=4, captions=vtt)
    assert children_of(os.getpid(), "ffmpeg") == []


def test_a_full_disk_is_told_as_such(shoot, composed, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "film.mp4").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="disk is full"):
        composed(shoot(plain(TEAL)))


def test_progress_goes_from_nothing_to_all(template, shoot, tmp_path: Path) -> None:
    seen: list[float] = []
    clips = [ffmpeg.footage(shoot(plain(TEAL)), tokens.FPS)]
    compose(overlay(template), clips, tmp_path, lambda share, *_: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
