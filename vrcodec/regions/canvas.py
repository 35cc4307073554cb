"""The canvas that decoded tiles are put on: a region of the picture, at full size or reduced."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.regions.region import Rectangle

Pixels = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.uint16]


class Canvas:
    """The pixels of ``area``, a part of a picture, reduced to 1/``scale``."""

    def __init__(self, area: Rectangle, scale: int, channels: int = 3) -> None:
        self._area = area
        self._preview = _Preview(area.height, area.width, channels, scale) if scale > 1 else None
        size = (0, 0) if self._preview else (area.height, area.width)
        self._pixels = np.empty((*size, channels), np.uint8)

    def put(self, tile: Pixels, top: int, left: int) -> None:
        """Copy what lies in the area of ``tile``, (H, W, C), whose first pixel is in this row and column."""
        hidden_rows, hidden_columns = max(0, self._area.top - top), max(0, self._area.left - left)
        tile = tile[hidden_rows : self._area.bottom - top, hidden_columns : self._area.right - left]
        row, column = top + hidden_rows - self._area.top, left + hidden_columns - self._area.left
        if self._preview:
            self._preview.add(tile, row, column)
        else:
            self._pixels[row : row + tile.shape[0], column : column + tile.shape[1]] = tile

    def finish(self) -> Pixels:
        """The finished pixels: (H, W, C) uint8."""
        return self._preview.means() if self._preview else self._pixels


class _Preview:
    """Sums over squares of ``scale`` pixels a side, smaller ones at the right and at the bottom."""

    def __init__(self, height: int, width: int, channels: int, scale: int) -> None:
        self._size, self._scale = (height, width), scale
        # 64 values of 8 bits at most.
        self._sums = np.zeros((-(-height // scale), -(-width // scale), channels), np.uint16)

    def add(self, tile: Pixels, row: int, column: int) -> None:
        """Add pixels; tiles may share a square."""
        sums = _sum_groups(_sum_groups(tile, row, self._scale, 0), column, self._scale, 1)
        row, column = row // self._scale, column // self._scale
        self._sums[row : row + sums.shape[0], column : column + sums.shape[1]] += sums

    def means(self) -> Pixels:
        """Rounded means, (h, w, C) uint8."""
        rows, columns = (
            np.minimum(self._scale, side - np.arange(0, side, self._scale)) for side in self._size
        )
        counts = (rows[:, None] * columns)[..., None].astype(np.uint16)
        return ((self._sums + counts // 2) // counts).astype(np.uint8)


def _sum_groups(values: Pixels | Sums, offset: int, scale: int, axis: int) -> Sums:
    """Sums along an axis over the extent of each square; ``offset``: of the first element on the canvas."""
    end = offset + values.shape[axis]
    starts = (np.arange(offset // scale * scale, end, scale) - offset).clip(0)
    sums: Sums = np.add.reduceat(values, starts, axis=axis, dtype=np.uint16)
    return sums
