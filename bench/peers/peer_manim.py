"""The peer scene as a Manim Community scene (cairo renderer)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import motion
import numpy as np
from manim import (
    BOLD,
    DOWN,
    LEFT,
    MEDIUM,
    RIGHT,
    UP,
    Arc,
    CapStyleType,
    Circle,
    Integer,
    Line,
    LineJointType,
    Mobject,
    Rectangle,
    RoundedRectangle,
    Scene,
    Text,
    ValueTracker,
    VGroup,
    VMobject,
    config,
    linear,
)
from motion import COLOURS, SCENE

#: px per unit; Manim's frame is 8 units high.
UNIT = 90
#: The em of Text(font_size=1) in px, measured against the font itself.
EM = 1.2446
#: stroke_width=1 is 0.01 units.
STROKE = 100 / UNIT
DESCENDING = set("gjpqy,$%+")


def place(x: float, y: float) -> list[float]:
    """Return the point in Manim's frame of a pixel."""
    return [(x - 640) / UNIT, (360 - y) / UNIT, 0]


def box(x: float, y: float, w: float, h: float, fill: str, radius: float = 0) -> VMobject:
    shape = (
        RoundedRectangle(corner_radius=radius / UNIT, width=w / UNIT, height=h / UNIT)
        if radius
        else Rectangle(width=w / UNIT, height=h / UNIT)
    )
    return shape.set_stroke(width=0).set_fill(fill, 1).move_to(place(x + w / 2, y + h / 2))


def say(
    words: str,
    x: float,
    y: float,
    size: float,
    weight: str = MEDIUM,
    anchor: float = 0.5,
    fill: str = COLOURS["ink"],
) -> Text:
    """Return a line of text with its baseline at y; `anchor` 0 starts, 0.5 centres, 1 ends at x."""
    line = Text(words, font="Figtree", weight=weight, font_size=size / EM, color=fill)
    line.move_to(place(x, 0)).shift((0.5 - anchor) * line.width * RIGHT)
    signs = zip(words.replace(" ", ""), line.submobjects, strict=True)
    baseline = median(shape.get_bottom()[1] for sign, shape in signs if sign not in DESCENDING)
    return line.shift((place(0, y)[1] - baseline) * UP)


class Number(VGroup):
    """A counter with Manim's own Integer, on a baseline; x is its centre or its start.

    `form` is the text around the number, which is {}.
    """

    def __init__(
        self, form: str, size: float, anchor: float = 0.5, fill: str = COLOURS["ink"]
    ) -> None:
        super().__init__()
        bold = partial(Text, font="Figtree", weight=BOLD)
        self.number = Integer(0, mob_class=bold, font_size=size / EM, color=fill)
        self.signs = [
            (bold(words, font_size=size / EM, color=fill), side)
            for words, side in zip(form.split("{}"), (LEFT, RIGHT), strict=True)
            if words
        ]
        self.gap, self.anchor = 0.07 * size / UNIT, anchor
        self.add(self.number, *(sign for sign, _ in self.signs))

    def show(self, value: float, x: float, y: float) -> None:
        self.number.set_value(value)
        digit = self.number[0]
        for sign, side in self.signs:
            sign.next_to(self.number, side, self.gap).match_y(digit)
        self.set_x(place(x, y)[0], (2 * self.anchor - 1) * RIGHT)
        self.shift((place(x, y)[1] - digit.get_bottom()[1]) * UP)


class Outlines(VGroup):
    """The same as Number, written by hand.

    Manim's own Integer makes a deep copy of its digits for each new value, which more than
    doubles the film's CPU time here. This one only moves points.
    """

    def __init__(
        self, form: str, size: float, anchor: float = 0.5, fill: str = COLOURS["ink"]
    ) -> None:
        super().__init__(*(VMobject(stroke_width=0) for _ in range(7)))
        self.set_fill(fill, 1)
        self.form, self.size, self.anchor = form, size / UNIT, anchor

    def show(self, value: float, x: float, y: float) -> None:
        glyphs = [digits()[sign] for sign in self.form.format(f"{value:,.0f}")]
        width = sum(glyph.advance for glyph in glyphs) * self.size
        pen = np.array(place(x, y)) - np.array([self.anchor * width, 0, 0])
        for shape, glyph in zip_longest(self, glyphs):
            if glyph is None:
                shape.clear_points()
                continue
            shape.points = glyph.points * self.size + pen
            pen[0] += glyph.advance * self.size


Counter = Callable[..., Number | Outlines]


class Glyph(NamedTuple):
    """An outline relative to the pen, and the advance of the pen; in em."""

    points: Any
    advance: float


@cache
def digits() -> dict[str, Glyph]:
    """Return the outline and advance of every character of a counter, from one line of text."""
    signs = "0123456789$,%+"
    size = 100
    line = Text(f"HH{'H'.join(signs)}H", font="Figtree", weight=BOLD, font_size=size / EM)
    stems = [line[0], *line[1::2]]
    lefts = [stem.get_left()[0] for stem in stems]
    stem_width = lefts[1] - lefts[0]
    bearing = (stem_width - stems[0].width) / 2
    glyphs = {}
    for index, sign in enumerate(signs, start=1):
        origin = np.array([lefts[index] - bearing + stem_width, stems[0].get_bottom()[1], 0])
        advance = lefts[index + 1] - lefts[index] - stem_width
        em = size / UNIT
        glyphs[sign] = Glyph((line[2 * index].points - origin) / em, advance / em)
    return glyphs


class Peer(Scene):
    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    def construct(self) -> None:
        clock = ValueTracker(0)
        sky = Rectangle(width=1280 / UNIT, height=720 / UNIT, stroke_width=0)
        sky.set_fill([COLOURS["sky"], COLOURS["ground"]], 1).set_sheen_direction(DOWN)
        self.add(
            sky,
            say(SCENE["title"], 64, 68, 40, BOLD, 0),
            say(SCENE["subtitle"], 64, 106, 24, MEDIUM, 0, COLOURS["ink_2"]),
        )
        stage = Stage(self.counter)
        stage.add_updater(lambda group: group.show(clock.get_value()))
        self.add(stage)
        seconds = motion.SECONDS
        # 150 frames: the clock stops where those of the other tools do.
        self.play(
            clock.animate(rate_func=linear, run_time=seconds).set_value(seconds),
        )


class Stage(VGroup):
    """All moving parts."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.lift = 0.0
        self.elapsed = box(0, 710, 1, 10, COLOURS["indigo"])
        self.rest = VGroup(*_panel(64, 136, 760, 520), *_axis(), *_months(), *_ring_labels())
        self.bars = VGroup(*(_bar(index) for index in range(6)))
        self.amounts = VGroup(*(counter("${}", 22) for _ in range(6)))
        self.line = VMobject(cap_style=CapStyleType.ROUND, joint_type=LineJointType.ROUND)
        self.line.set_stroke(COLOURS["orchid"], 5 * STROKE)
        self.dot = Circle(9 / UNIT, color=COLOURS["orchid"], stroke_width=4 * STROKE)
        self.dot.set_fill(COLOURS["white"], 1)
        self.whole_arc = Arc(92 / UNIT, 1.5707963, -6.2831853)
        self.arc = Arc(92 / UNIT, stroke_width=24 * STROKE, color=COLOURS["green"])
        self.goal = counter("{}%", 44)
        self.saved = counter("${}", 52)
        self.card = Card(counter)
        self.add(self.elapsed, self.rest, self.bars, self.amounts, self.line, self.dot)
        self.add(self.arc, self.goal, self.saved, self.card)

    def show(self, t: float) -> None:
        lift = motion.lift(t)
        self.elapsed.stretch_to_fit_width(max(0.1, 256 * t) / UNIT)
        self.elapsed.move_to(place(128 * t, 715))
        self.rest.shift((lift - self.lift) / UNIT * DOWN)
        self.lift = lift
        for index, (bar, amount) in enumerate(zip(self.bars, self.amounts, strict=True)):
            dollars = motion.bar(index, t)
            height, x = 0.096 * dollars, 200 + 106 * index
            bar.stretch_to_fit_height(max(0.1, height) / UNIT)
            bar.move_to(place(x, 584 + lift - height / 2))
            amount.show(dollars, x, 572 + lift - height)
        points = [place(x, y + lift) for x, y in motion.balance_line(t)]
        self.line.set_points_as_corners(points)
        self.dot.move_to(points[-1])
        share = motion.goal(t)
        self.arc.pointwise_become_partial(self.whole_arc, 0, share / 100)
        self.arc.shift(place(1040, 250 + lift))
        self.goal.show(share, 1040, 265 + lift)
        self.saved.show(motion.saved(t), 1040, 450 + lift)
        self.card.show(motion.come(t), lift)


class Card(VGroup):
    """The card slides and fades in from the right; Manim fades each shape on its own."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.shadow, white = _panel(864, 512, 352, 144)
        disc = Circle(30 / UNIT, stroke_width=0).set_fill(COLOURS["green_light"], 1)
        disc.move_to(place(918, 584))
        title = say(SCENE["card_title"], 966, 554, 24, BOLD, 0)
        body = say(SCENE["card_body"], 966, 586, 20, MEDIUM, 0, COLOURS["ink_2"])
        self.check = VMobject(cap_style=CapStyleType.ROUND, joint_type=LineJointType.ROUND)
        self.check.set_points_as_corners([place(904, 585), place(914, 595), place(933, 573)])
        self.check.set_stroke(COLOURS["green_dark"], 6 * STROKE)
        self.amount = counter("+${}", 34, 0, COLOURS["green_dark"])
        self.filled = VGroup(white, disc, title, body)
        self.place = (0.0, 0.0)
        self.add(self.shadow, self.filled, self.check, self.amount)

    def show(self, come: float, lift: float) -> None:
        dx, dy = 380 * (1 - come), lift
        shift = [(dx - self.place[0]) / UNIT, (self.place[1] - dy) / UNIT, 0]
        for part in (self.shadow, self.filled, self.check):
            part.shift(shift)
        self.place = (dx, dy)
        self.shadow.set_fill(opacity=0.08 * come)
        self.amount.show(SCENE["card_amount"] * come, 966 + dx, 632 + dy)
        self.filled.set_fill(opacity=come)
        self.amount.set_fill(opacity=come)
        self.check.set_stroke(opacity=come)


def _panel(x: float, y: float, w: float, h: float) -> Sequence[VMobject]:
    shadow = box(x, y + 6, w, h, COLOURS["ink"], 20).set_fill(opacity=0.08)
    return shadow, box(x, y, w, h, COLOURS["white"], 20)


def _axis() -> list[Mobject]:
    rows: list[Mobject] = []
    for index, words in enumerate(SCENE["axis"]):
        y = 584 - 96 * index
        line = Line(place(140, y), place(796, y), color=COLOURS["line"], stroke_width=2 * STROKE)
        rows += [line, say(words, 126, y + 7, 20, MEDIUM, 1, COLOURS["ink_2"])]
    return rows


def _months() -> list[Mobject]:
    return [
        say(words, 200 + 106 * index, 618, 22, fill=COLOURS["ink_2"])
        for index, words in enumerate(SCENE["months"])
    ]


def _ring_labels() -> list[Mobject]:
    track = Circle(92 / UNIT, color=COLOURS["line"], stroke_width=24 * STROKE)
    return [
        track.move_to(place(1040, 250)),
        say(SCENE["goal_label"], 1040, 392, 22, fill=COLOURS["ink_2"]),
        say(SCENE["saved_label"], 1040, 484, 22, fill=COLOURS["ink_2"]),
    ]


def _bar(index: int) -> VMobject:
    fill = COLOURS["water" if SCENE["income"][index] < 3000 else "green"]
    return box(164 + 106 * index, 583, 72, 1, fill)


def main(counters: str, output: Path) -> None:
    with tempfile.TemporaryDirectory() as media:
        config.media_dir = media
        config.pixel_width, config.pixel_height = motion.WIDTH, motion.HEIGHT
        config.frame_rate = motion.FPS
        # Hashing the scene for a look-up in the cache takes time and never hits here.
        config.disable_caching = True
        config.progress_bar, config.verbosity = "none", "ERROR"
        config.video_encoder_options = {"preset": "veryfast", "crf": "18", "threads": "2"}
        config.output_file = "peer"
        scene = Peer(Outlines if counters == "outlines" else Number)
        scene.render()
        output.write_bytes(Path(scene.renderer.file_writer.movie_file_path).read_bytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
