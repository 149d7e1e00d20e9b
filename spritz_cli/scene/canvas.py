"""Draws marks with cairo, and repaints only where a frame differs from the one before.

CairoSVG reads each leaf once. Cairo then paints the recording under any matrix, so an
element that only moves is not read again. Between two frames only the changed rectangles
are painted. The result is the same as a full repaint, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from spritz_cli.scene.boxes import PixelBox, common, is_empty, overlap, transformed, union
from spritz_cli.scene.document import Definition, Item, Layer, Leaf, Mark, Matrix
from spritz_cli.scene.recorder import Extents, Recorder, Recording, cairocffi

#: Size of the cache: more than the busiest film needs at once, and a bound on memory.
KEPT_RECORDINGS = 1500


class Canvas:
    """A frame buffer that shows one frame after another.

    `pixels` is the raw frame: B, G, R and an unused byte per pixel, `4 * width` bytes per
    row. The canvas owns it, and the next `show` changes it. On a transparent canvas the
    fourth byte is alpha, and the colours are premultiplied by it.
    """

    def __init__(self, width: int, height: int, *, transparent: bool = False) -> None:
        self.width, self.height = width, height
        self.pixels = bytearray(4 * width * height)
        self._transparent = transparent
        form = cairocffi.FORMAT_ARGB32 if transparent else cairocffi.FORMAT_RGB24
        self._surface = cairocffi.ImageSurface(
            form, width, height, data=self.pixels, stride=4 * width
        )
        self._scratch = cairocffi.ImageSurface(form, width, height)
        self._recorder = Recorder(width, height)
        self._recordings: dict[Leaf, Recording] = {}
        self._clips: dict[Definition, Extents] = {}
        self._shown: tuple[Item, ...] | None = None

    def show(self, items: tuple[Item, ...]) -> bool:
        """Paint a frame; return whether it differs from the previous one."""
        damage = self._damage(items)
        if damage:
            self._paint(items, damage)
        self._shown = items
        return bool(damage)

    def _damage(self, items: tuple[Item, ...]) -> list[PixelBox]:
        if self._shown is None:
            return [(0, 0, self.width, self.height)]
        return _merged(self._on_frame(self._differences(self._shown, items)))

    def _on_frame(self, boxes: Iterable[PixelBox | None]) -> Iterable[PixelBox]:
        frame = (0, 0, self.width, self.height)
        for box in boxes:
            if box is not None and not is_empty(seen := common(box, frame)):
                yield seen

    def _differences(self, old: Sequence[Item], new: Sequence[Item]) -> Iterable[PixelBox | None]:
        if old == new:
            return
        old, new = _without_common_ends(old, new)
        if len(old) == len(new) == 1 and _same_layer(old[0], new[0]):
            yield from self._differences(old[0].items, new[0].items)  # type: ignore[union-attr]
            return
        stay = set(old) & set(new)
        if [item for item in old if item in stay] != [item for item in new if item in stay]:
            stay = set()
        if len(old) == len(new) and not stay:
            for before, after in zip(old, new, strict=True):
                if _same_layer(before, after):
                    yield from self._differences(before.items, after.items)  # type: ignore[union-attr]
                else:
                    yield self._box(before)
                    yield self._box(after)
            return
        for item in (*old, *new):
            if item not in stay:
                yield self._box(item)

    def _paint(self, items: Iterable[Item], damage: list[PixelBox]) -> None:
        # On a second surface and without a clip: where a clip cuts through a shape, cairo
        # rounds the antialiasing of a whole row of pixels differently.
        context = cairocffi.Context(self._scratch)
        if self._transparent:
            _clear(context, damage)
        for item in items:
            self._paint_item(context, item, damage)
        self._scratch.flush()
        self._take_over(damage)

    def _take_over(self, damage: list[PixelBox]) -> None:
        context = cairocffi.Context(self._surface)
        _clip_to(context, damage)
        context.set_source_surface(self._scratch)
        context.set_operator(cairocffi.OPERATOR_SOURCE)
        context.paint()
        self._surface.flush()

    def _paint_item(self, context: Any, item: Item, damage: list[PixelBox]) -> None:
        box = self._box(item)
        if box is None or not any(overlap(box, other) for other in damage):
            return
        if isinstance(item, Layer):
            self._paint_layer(context, item, damage)
        elif _is_plain(item):
            # Plain rectangles, such as the background, look the same under any clip.
            for other in damage:
                if overlap(box, other):
                    self._paint_piece(context, item, common(box, other))
        else:
            self._recording(item.leaf).paint(context, item.matrix)

    def _paint_piece(self, context: Any, mark: Mark, clip: PixelBox) -> None:
        context.save()
        _clip_to(context, [clip])
        self._recording(mark.leaf).paint(context, mark.matrix)
        context.restore()

    def _paint_layer(self, context: Any, layer: Layer, damage: list[PixelBox]) -> None:
        context.save()
        if layer.clip is not None:
            self._clip(context, layer.clip, layer.matrix)
        if layer.opacity < 1:
            # A group surface is as large as the clip: restrict it to the layer.
            _clip_to(context, [self._box(layer) or (0, 0, 0, 0)])
            context.push_group()
        for item in layer.items:
            self._paint_item(context, item, damage)
        if layer.opacity < 1:
            context.pop_group_to_source()
            context.paint_with_alpha(layer.opacity)
        context.restore()

    def _clip(self, context: Any, clip: Definition, matrix: Matrix) -> None:
        context.save()
        context.transform(cairocffi.Matrix(*matrix))
        context.new_path()
        self._recorder.trace(context, clip)
        context.restore()
        context.clip()

    def _box(self, item: Item) -> PixelBox | None:
        if isinstance(item, Mark):
            extents = self._recording(item.leaf).extents
            return None if extents is None else _placed_box(extents, item.matrix)
        boxes = [box for box in map(self._box, item.items) if box is not None]
        if not boxes:
            return None
        box = union(boxes)
        return box if item.clip is None else self._clipped_box(box, item.clip, item.matrix)

    def _clipped_box(self, box: PixelBox, clip: Definition, matrix: Matrix) -> PixelBox | None:
        if clip not in self._clips:
            self._clips[clip] = self._recorder.extents(clip)
        seen = common(_placed_box(self._clips[clip], matrix), box)
        return None if is_empty(seen) else seen

    def _recording(self, leaf: Leaf) -> Recording:
        recording = self._recordings.get(leaf)
        if recording is None:
            if len(self._recordings) >= KEPT_RECORDINGS:
                self._recordings.pop(next(iter(self._recordings)))
            recording = self._recordings[leaf] = self._recorder.record(leaf)
        return recording


def _clip_to(context: Any, boxes: Iterable[PixelBox]) -> None:
    for x0, y0, x1, y1 in boxes:
        context.rectangle(x0, y0, x1 - x0, y1 - y0)
    context.clip()


def _clear(context: Any, boxes: Iterable[PixelBox]) -> None:
    """Erase the boxes: a transparent frame has no background that would cover them."""
    context.save()
    _clip_to(context, boxes)
    context.set_operator(cairocffi.OPERATOR_CLEAR)
    context.paint()
    context.restore()


def _is_plain(mark: Mark) -> bool:
    # A gradient that is painted in pieces has other rounding errors.
    if mark.leaf.tag != "rect" or mark.leaf.paints or mark.matrix[1] or mark.matrix[2]:
        return False
    return not any(name in ("rx", "ry", "stroke") for name, _ in mark.leaf.attributes)


def _same_layer(old: Item, new: Item) -> bool:
    return isinstance(old, Layer) and isinstance(new, Layer) and old[:3] == new[:3]


def _without_common_ends(
    old: Sequence[Item], new: Sequence[Item]
) -> tuple[Sequence[Item], Sequence[Item]]:
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return old[head : len(old) - tail], new[head : len(new) - tail]


def _placed_box(extents: Extents, matrix: Matrix) -> PixelBox:
    x, y, width, height = extents
    a, b, c, d, e, f = matrix
    if a == d == 1.0 and b == c == 0.0:
        # A shortcut: this runs a hundred times a frame, and most marks are only translated.
        left, top, right, bottom = x + e, y + f, x + width + e, y + height + f
    else:
        left, top, right, bottom = transformed((x, y, x + width, y + height), matrix)
    # A margin of one pixel: antialiasing bleeds over the exact edge.
    x0, y0 = math.floor(left) - 1, math.floor(top) - 1
    return x0, y0, math.ceil(right) + 1, math.ceil(bottom) + 1


def _merged(boxes: Iterable[PixelBox]) -> list[PixelBox]:
    """Join boxes until no two of them overlap."""
    separate: list[PixelBox] = []
    for box in boxes:
        joined = box
        while True:
            touching = [other for other in separate if overlap(joined, other)]
            if not touching:
                break
            separate = [other for other in separate if other not in touching]
            joined = union([joined, *touching])
        separate.append(joined)
    return separate
