"""Where decoded tiles go: into the picture, or into a preview of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.regions.region import Rectangle

Pixels = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.uint16]


class Canvas:
    """The pixels of ``shown``, a part of a picture, at 1/``scale``."""

    def __init__(self, shown: Rectangle, scale: int, channels: int = 3) -> None:
        self._shown = shown
        self._preview = _Preview(shown.height, shown.width, channels, scale) if scale > 1 else None
        size = (0, 0) if self._preview else (shown.height, shown.width)
        self._pixels = np.empty((*size, channels), np.uint8)

    def put(self, tile: Pixels, top: int, left: int) -> None:
        """Take over what is shown of ``tile``, (H, W, C), whose first pixel is in this row and column."""
        first, start = max(0, self._shown.top - top), max(0, self._shown.left - left)
        tile = tile[first : self._shown.bottom - top, start : self._shown.right - left]
        row, column = top + first - self._shown.top, left + start - self._shown.left
        if self._preview:
            self._preview.add(tile, row, column)
        else:
            self._pixels[row : row + tile.shape[0], column : column + tile.shape[1]] = tile

    def finish(self) -> Pixels:
        """All that was put: (H, W, C) uint8."""
        return self._preview.means() if self._preview else self._pixels


class _Preview:
    """Sums over squares of ``scale`` pixels a side, smaller ones at the right and at the bottom."""

    def __init__(self, height: int, width: int, channels: int, scale: int) -> None:
        self._size, self._scale = (height, width), scale
        # 64 values of 8 bits at most.
        self._sums = np.zeros((-(-height // scale), -(-width // scale), channels), np.uint16)

    def add(self, tile: Pixels, row: int, column: int) -> None:
        """Add pixels; tiles may share a square."""
        sums = _summed(_summed(tile, row, self._scale, 0), column, self._scale, 1)
        row, column = row // self._scale, column // self._scale
        self._sums[row : row + sums.shape[0], column : column + sums.shape[1]] += sums

    def means(self) -> Pixels:
        """Rounded, as (h, w, C) uint8."""
        rows, columns = (
            np.minimum(self._scale, side - np.arange(0, side, self._scale)) for side in self._size
        )
        counts = (rows[:, None] * columns)[..., None].astype(np.uint16)
        return ((self._sums + counts // 2) // counts).astype(np.uint8)


def _summed(values: Pixels | Sums, first: int, scale: int, axis: int) -> Sums:
    """Sums over the squares' share of an axis, whose first element is number ``first`` of the whole."""
    end = first + values.shape[axis]
    starts = (np.arange(first // scale * scale, end, scale) - first).clip(0)
    sums: Sums = np.add.reduceat(values, starts, axis=axis, dtype=np.uint16)
    return sums
