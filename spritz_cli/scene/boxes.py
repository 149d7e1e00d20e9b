"""Arithmetic with boxes: left, top, right and bottom in px, right and bottom outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from spritz_cli.scene.document import Matrix

N = TypeVar("N", int, float)

Box = tuple[float, float, float, float]
PixelBox = tuple[int, int, int, int]


def is_empty(box: Box) -> bool:
    return box[0] >= box[2] or box[1] >= box[3]


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def common(a: tuple[N, N, N, N], b: tuple[N, N, N, N]) -> tuple[N, N, N, N]:
    """Return what two boxes share; it is empty where they do not overlap."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def union(boxes: Sequence[tuple[N, N, N, N]]) -> tuple[N, N, N, N]:
    """Return the smallest box around all of them, at least one."""
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def moved(x: float, y: float, matrix: Matrix) -> tuple[float, float]:
    """Return where a matrix puts a point."""
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def transformed(box: Box, matrix: Matrix) -> Box:
    """Return the upright box around a box under a matrix."""
    a, b, c, d, e, f = matrix
    left, top, right, bottom = box
    xs = [a * x + c * y + e for x in (left, right) for y in (top, bottom)]
    ys = [b * x + d * y + f for x in (left, right) for y in (top, bottom)]
    return min(xs), min(ys), max(xs), max(ys)
