"""Shapes on a picture, and how much of each cell of its quality map they cover.

Coordinates are those of the picture as it is coded, which is upright: in pixels, x to the right and y down,
with (0, 0) at the upper left corner of the first pixel. What lies outside the picture is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from vrcodec.bitstream.quality_map import MAP_STRIDE, QualityMap
from vrcodec.errors import UsageError
from vrcodec.maps.levels import Levels, cell_means

# For each cell, (rows, columns), the share in [0, 1] of its pixels.
Coverage = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]


# Farther away is nothing that somebody has drawn.
_MAX_COORDINATE = 1e9


def as_coordinates(values: Sequence[float] | Sequence[str]) -> npt.NDArray[np.float64]:
    """``values`` as one row of numbers. Raises ValueError for what is none, or beyond all pictures."""
    numbers = np.asarray(values, np.float64)
    # NaN fails the comparison, as well.
    if numbers.ndim != 1 or not bool((np.abs(numbers) <= _MAX_COORDINATE).all()):
        raise ValueError("not coordinates")
    return numbers


class Shape(Protocol):
    """What a region of interest can be."""

    def coverage(self, width: int, height: int) -> Coverage:
        """How much of each cell of a picture of ``width`` x ``height`` it covers. Raises UsageError."""
        ...


@dataclass(frozen=True)
class Box:
    """A rectangle, drawn around something: cells that it touches are covered whole."""

    x: float
    y: float
    width: float
    height: float

    def coverage(self, width: int, height: int) -> Coverage:
        covered = np.zeros(QualityMap.grid_shape(width, height))
        left, top = max(0, floor(self.x)), max(0, floor(self.y))
        right = min(width, ceil(self.x + self.width))
        bottom = min(height, ceil(self.y + self.height))
        if left < right and top < bottom:
            rows = slice(top // MAP_STRIDE, -(-bottom // MAP_STRIDE))
            columns = slice(left // MAP_STRIDE, -(-right // MAP_STRIDE))
            covered[rows, columns] = 1
        return covered


@dataclass(frozen=True)
class Polygon:
    """The inside of the line through ``points`` (n, 2), x and y, which is closed.

    Where it crosses itself, what it goes around twice is outside.
    """

    points: Points

    def coverage(self, width: int, height: int) -> Coverage:
        """By the polygon's extent along the middle of each row of pixels."""
        rows, columns = QualityMap.grid_shape(width, height)
        covered = np.zeros((rows, columns))
        left = np.arange(columns) * MAP_STRIDE
        widths = np.minimum(MAP_STRIDE, width - left)
        start, end = self.points, np.roll(self.points, -1, axis=0)
        first, last = self.points[:, 1].min(), self.points[:, 1].max()
        for row in range(max(0, floor(first)), min(height, ceil(last))):
            middle = row + 0.5
            crossing = (start[:, 1] <= middle) != (end[:, 1] <= middle)
            (x0, y0), (x1, y1) = start[crossing].T, end[crossing].T
            x = np.sort(x0 + (middle - y0) / (y1 - y0) * (x1 - x0))
            # Inside is from each crossing to the next, in pairs.
            covered_until = (x[:, None] - left).clip(0, widths)
            covered[row // MAP_STRIDE] += (covered_until[1::2] - covered_until[::2]).sum(axis=0)
        heights = np.minimum(MAP_STRIDE, height - np.arange(rows) * MAP_STRIDE)
        return covered / np.outer(heights, widths)


@dataclass(frozen=True)
class Mask:
    """``values`` (h, w) in [0, 1], stretched over the picture; between 0 and 1 is an edge that is soft."""

    values: Levels

    def coverage(self, width: int, height: int) -> Coverage:
        rows, columns = self.values.shape
        # The ratio of sides is the picture's, to the nearest pixel of either, unless one of the two lies on its
        # side.
        if abs(columns * height - rows * width) > max(width, height, columns, rows):
            raise UsageError(
                f"a mask of {columns}x{rows} does not fit the picture, which is {width}x{height} when upright"
            )
        return cell_means(self.values, width, height)


@dataclass(frozen=True)
class Group:
    """Several shapes that were drawn on a picture of ``width`` x ``height``, as one."""

    shapes: Sequence[Shape]
    width: int
    height: int

    def coverage(self, width: int, height: int) -> Coverage:
        if (width, height) != (self.width, self.height):
            raise UsageError(
                f"annotated was a picture of {self.width}x{self.height}; "
                f"this one is {width}x{height} when upright"
            )
        # Objects beside each other share cells.
        covered: Coverage = sum(
            (shape.coverage(width, height) for shape in self.shapes),
            start=np.zeros(QualityMap.grid_shape(width, height)),
        )
        return covered.clip(0, 1)


def feather(covered: Coverage, pixels: float) -> Coverage:
    """``covered`` as it was, and around it less and less, down to nothing behind ``pixels``."""
    reach = int(pixels / MAP_STRIDE) + 1
    steps = np.arange(-reach, reach + 1)
    shares = 1 - MAP_STRIDE * np.hypot(steps[:, None], steps) / (pixels + MAP_STRIDE)
    result = np.pad(covered, reach)
    # Of any other cell, one of its neighbours is nearer to whatever is outside, and covered as much.
    for row, column in np.argwhere(_has_less_beside(covered)):
        window = result[row : row + len(steps), column : column + len(steps)]
        np.maximum(window, covered[row, column] * shares, out=window)
    return result[reach:-reach, reach:-reach]


def _has_less_beside(covered: Coverage) -> npt.NDArray[np.bool_]:
    """Where one of the eight cells around is covered less."""
    around = sliding_window_view(np.pad(covered, 1, mode="edge"), (3, 3))
    return around.min(axis=(2, 3)) < covered
