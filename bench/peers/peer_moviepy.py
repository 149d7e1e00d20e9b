"""The peer scene with MoviePy: from CairoSVG's frames, or from MoviePy's own clips."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import motion
import numpy as np
from motion import COLOURS, SCENE
from moviepy import ColorClip, CompositeVideoClip, ImageClip, TextClip, VideoClip, vfx
from PIL import Image, ImageColor, ImageDraw

#: Pictures are drawn this much larger and scaled down: Pillow does not antialias.
LARGER = 4
FRAME = (0, 0, motion.WIDTH, motion.HEIGHT)
CARD = (864, 512, 352, 150)

Box = tuple[int, int, int, int]


class Way(NamedTuple):
    """How clips that stand still or move together are joined, and how counters change."""

    join: Callable[[list[VideoClip], Box], list[VideoClip]]
    count: Callable[[Counter], list[VideoClip]]


def main(way: str, output: str) -> None:
    clip = WAYS[way]()
    _, settings = motion.encoder()
    # MoviePy passes encoder and preset itself; `settings` repeats them.
    clip.write_videofile(
        output,
        fps=motion.FPS,
        codec="libx264",
        preset="veryfast",
        audio=False,
        logger=None,
        ffmpeg_params=settings,
    )


def cairosvg_clip() -> VideoClip:
    from cairosvg_frames import Drawing, surface

    drawing = Drawing()

    def frame(t: float) -> Any:
        picture = surface(drawing.svg(t))
        pixels = np.frombuffer(picture.get_data(), np.uint8)
        # MoviePy expects R, G, B. The copy outlives the surface.
        return pixels.reshape(motion.HEIGHT, motion.WIDTH, 4)[:, :, 2::-1].copy()

    return VideoClip(frame, duration=motion.SECONDS)


def own_clip(way: Way) -> VideoClip:
    clips = [
        *way.join([sky(), *headings()], FRAME),
        elapsed(),
        *(moved(clip, rise) for clip in way.join([*chart_art(), *ring_art()], FRAME)),
        *(clip for index in range(6) for clip in bar_clips(index, way)),
        *line_clips(),
        arc_clip(),
        *way.count(Counter(lambda t: motion.pct(motion.goal(t)), at(1040), at(265), 44)),
        *way.count(Counter(lambda t: motion.usd(motion.saved(t)), at(1040), at(450), 52)),
        *card_clips(way),
    ]
    clips = [clip if clip.duration else clip.with_duration(motion.SECONDS) for clip in clips]
    return CompositeVideoClip(clips, size=(motion.WIDTH, motion.HEIGHT), use_bgclip=True)


def apart(clips: list[VideoClip], _: Box) -> list[VideoClip]:
    """Keep every clip on its own: the straightforward version."""
    return clips


def flat(clips: list[VideoClip], box: Box) -> list[VideoClip]:
    """Paint clips into one picture, cropped to the box."""
    # Every clip with a mask costs a whole frame of blending.
    opaque = clips[0].mask is None
    together = CompositeVideoClip(clips, size=(motion.WIDTH, motion.HEIGHT), use_bgclip=opaque)
    picture = together.to_ImageClip(0, with_mask=not opaque)
    x, y, w, h = box
    return [picture.with_effects([vfx.Crop(x, y, width=w, height=h)]).with_position((x, y))]


def moved(clip: VideoClip, by: Callable[[float], tuple[float, float]]) -> VideoClip:
    """Return the clip in motion: `by` is its distance from its place at a time, in px."""
    x, y = clip.pos(0)
    return clip.with_position(lambda t: (x + by(t)[0], y + by(t)[1]))


def at(place: float) -> Callable[[float], float]:
    return lambda _: place


def rise(t: float) -> tuple[float, float]:
    return 0, motion.lift(t)


def slide(t: float) -> tuple[float, float]:
    return 380 * (1 - motion.come(t)), motion.lift(t)


def faded(clip: VideoClip) -> VideoClip:
    """Return the clip with the opacity of the card."""
    mask = clip.mask.with_duration(clip.duration or motion.SECONDS)
    return clip.with_mask(
        mask.transform(lambda picture, t: picture(t) * motion.come(clip.start + t))
    )


def sky() -> ImageClip:
    ends = [ImageColor.getrgb(COLOURS[name]) for name in ("sky", "ground")]
    shares = np.linspace(0, 1, motion.HEIGHT)[:, None, None]
    column = np.array(ends[0]) * (1 - shares) + np.array(ends[1]) * shares
    return ImageClip(np.repeat(column.round().astype(np.uint8), motion.WIDTH, axis=1))


def headings() -> list[VideoClip]:
    return [
        say(SCENE["title"], 64, 68, 40, "Bold", 0),
        say(SCENE["subtitle"], 64, 106, 24, fill="ink_2", anchor=0),
    ]


def elapsed() -> VideoClip:
    bar = ColorClip((1280, 10), ImageColor.getrgb(COLOURS["indigo"]))
    return bar.with_position(lambda t: (round(256 * t) - 1280, 710))


def chart_art() -> list[VideoClip]:
    clips: list[VideoClip] = [panel(64, 136, 760, 520)]
    for index, words in enumerate(SCENE["axis"]):
        y = 584 - 96 * index
        line = ColorClip((656, 2), ImageColor.getrgb(COLOURS["line"])).with_position((140, y - 1))
        clips += [line, say(words, 126, y + 7, 20, fill="ink_2", anchor=1)]
    for index, words in enumerate(SCENE["months"]):
        clips.append(say(words, 200 + 106 * index, 618, 22, fill="ink_2"))
    return clips


def ring_art() -> list[VideoClip]:
    return [
        art((936, 146, 208, 208), lambda pen: _ring(pen, COLOURS["line"])),
        say(SCENE["goal_label"], 1040, 392, 22, fill="ink_2"),
        say(SCENE["saved_label"], 1040, 484, 22, fill="ink_2"),
    ]


def bar_clips(index: int, way: Way) -> list[VideoClip]:
    x = 164 + 106 * index

    def height(t: float) -> int:
        return max(1, round(0.096 * motion.bar(index, t)))

    fill = ImageColor.getrgb(COLOURS["water" if SCENE["income"][index] < 3000 else "green"])
    bar = ColorClip((72, 8), fill).with_effects([vfx.Resize(lambda t: (72, height(t)))])
    amount = Counter(
        lambda t: motion.usd(motion.bar(index, t)),
        at(x + 36),
        lambda t: 572 - 0.096 * motion.bar(index, t),
        22,
    )
    return [
        bar.with_position(lambda t: (x, round(584 + motion.lift(t)) - height(t))),
        *way.count(amount),
    ]


def line_clips() -> list[VideoClip]:
    """Return the finished line, uncovered from the left, and the dot at its tip."""
    box = (140, 236, 660, 340)
    points = motion.balance_line(motion.SECONDS)
    line = art(box, lambda pen: _polyline(pen, points, box, 5, COLOURS["orchid"]))
    columns = np.arange(box[2])

    def uncovered(picture: Callable[[float], Any], t: float) -> Any:
        return picture(t) * (columns <= motion.balance_line(t)[-1][0] - box[0])

    line.mask = line.mask.with_duration(motion.SECONDS).transform(uncovered)
    dot = art((0, 0, 24, 24), _dot)
    return [
        moved(line, rise),
        dot.with_position(_dot_place),
    ]


def _dot_place(t: float) -> tuple[float, float]:
    x, y = motion.balance_line(t)[-1]
    return round(x - 12), round(y + motion.lift(t) - 12)


def arc_clip() -> VideoClip:
    ring = art((936, 146, 208, 208), lambda pen: _ring(pen, COLOURS["green"]))
    y, x = np.mgrid[:208, :208] - 103.5
    shares = (np.arctan2(x, -y) / (2 * np.pi)) % 1 * 100

    def uncovered(picture: Callable[[float], Any], t: float) -> Any:
        return picture(t) * (shares <= motion.goal(t))

    ring.mask = ring.mask.with_duration(motion.SECONDS).transform(uncovered)
    return moved(ring, rise)


def card_clips(way: Way) -> list[VideoClip]:
    """Return the card, faded by its masks, and the amount on it."""
    parts = [
        panel(864, 512, 352, 144),
        art((888, 554, 60, 60), _check),
        say(SCENE["card_title"], 966, 554, 24, "Bold", 0),
        say(SCENE["card_body"], 966, 586, 20, fill="ink_2", anchor=0),
    ]
    amount = Counter(
        lambda t: "+" + motion.usd(SCENE["card_amount"] * motion.come(t)),
        lambda t: 966 + slide(t)[0],
        at(632),
        34,
        fill="green_dark",
        anchor=0,
    )
    return [
        *(moved(faded(part), slide) for part in way.join(parts, CARD)),
        *map(faded, way.count(amount)),
    ]


def say(
    words: str,
    x: float,
    y: float,
    size: int,
    weight: str = "Medium",
    anchor: float = 0.5,
    fill: str = "ink",
) -> TextClip:
    """Return a line of text with its baseline at y; `anchor` 0 starts, 0.5 centres, 1 ends at x."""
    clip = text(words, size, weight, fill)
    return clip.with_position((round(x - anchor * clip.w), round(y - 0.95 * size)))


@cache
def text(words: str, size: int, weight: str, fill: str) -> TextClip:
    return TextClip(
        font=str(motion.FONTS / f"Figtree-{weight}.ttf"),
        text=words,
        font_size=size,
        # Extra height: the one that MoviePy computes cuts commas off.
        size=(None, round(1.3 * size)),
        color=COLOURS[fill],
        vertical_align="top",
    )


class Counter(NamedTuple):
    """A text that changes, and its position while the stage rises."""

    words: Callable[[float], str]
    x: Callable[[float], float]
    y: Callable[[float], float]
    size: int
    fill: str = "ink"
    anchor: float = 0.5

    def shown(self, t: float) -> TextClip:
        return text(self.words(t), self.size, "Bold", self.fill)

    def place(self, t: float) -> tuple[int, int]:
        left = self.x(t) - self.anchor * self.shown(t).w
        return round(left), round(self.y(t) + motion.lift(t) - 0.95 * self.size)


def one_by_one(counter: Counter) -> list[VideoClip]:
    """Return a TextClip for each value, one after the other: the straightforward version."""
    clips: list[VideoClip] = []
    for value, times in groupby(motion.times(), counter.words):
        start, *more = times
        clip = text(value, counter.size, "Bold", counter.fill).with_start(start)
        clip = clip.with_duration((1 + len(more)) / motion.FPS)
        clips.append(clip.with_position(lambda t, start=start: counter.place(start + t)))
    return clips


def looked_up(counter: Counter) -> list[VideoClip]:
    """Return one clip that shows the TextClip of each value."""
    clip = VideoClip(lambda t: counter.shown(t).get_frame(0), has_constant_size=False)
    clip.mask = VideoClip(
        lambda t: counter.shown(t).mask.get_frame(0), is_mask=True, has_constant_size=False
    )
    return [clip.with_duration(motion.SECONDS).with_position(counter.place)]


def panel(x: int, y: int, w: int, h: int) -> ImageClip:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for top, fill in ((6, COLOURS["ink"] + "14"), (0, COLOURS["white"])):
            corners = [value * LARGER for value in (0, top, w, h + top)]
            pen.rounded_rectangle(corners, 20 * LARGER, fill)

    return art((x, y, w, h + 6), draw)


def art(box: Box, draw: Callable[[ImageDraw.ImageDraw], None]) -> ImageClip:
    """Return a picture drawn by Pillow, placed at the box."""
    x, y, w, h = box
    large = Image.new("RGBA", (w * LARGER, h * LARGER))
    draw(ImageDraw.Draw(large))
    return ImageClip(np.array(_reduced(large))).with_position((x, y))


def _reduced(large: Image.Image) -> Image.Image:
    """Scale down with premultiplied colours, otherwise edges turn dark."""
    return large.convert("RGBa").reduce(LARGER).convert("RGBA")


def _ring(pen: ImageDraw.ImageDraw, fill: str) -> None:
    pen.ellipse([0, 0, 208 * LARGER - 1, 208 * LARGER - 1], None, fill, 24 * LARGER)


def _dot(pen: ImageDraw.ImageDraw) -> None:
    for r, fill in ((11, COLOURS["orchid"]), (7, COLOURS["white"])):
        pen.circle((12 * LARGER, 12 * LARGER), r * LARGER, fill)


def _check(pen: ImageDraw.ImageDraw) -> None:
    pen.circle((30 * LARGER, 30 * LARGER), 30 * LARGER, COLOURS["green_light"])
    points = [(904.0, 585.0), (914.0, 595.0), (933.0, 573.0)]
    _polyline(pen, points, (888, 554, 60, 60), 6, COLOURS["green_dark"])


def _polyline(
    pen: ImageDraw.ImageDraw,
    points: list[tuple[float, float]],
    box: Box,
    width: int,
    stroke: str,
) -> None:
    spots = [((x - box[0]) * LARGER, (y - box[1]) * LARGER) for x, y in points]
    pen.line(spots, stroke, width * LARGER)
    for spot in spots:
        pen.circle(spot, width * LARGER / 2, stroke)


WAYS: dict[str, Callable[[], VideoClip]] = {
    "cairosvg": cairosvg_clip,
    "own": lambda: own_clip(Way(apart, one_by_one)),
    "own-flat": lambda: own_clip(Way(flat, looked_up)),
}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
