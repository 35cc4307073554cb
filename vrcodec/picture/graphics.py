"""Recognition of graphics: text, line art, flat shapes, screenshots, whole or beside photographs.

A lossless codec stores them in a tenth of what a transform codec needs. They are told by neighbours that are
equal, which in photographs few are, in cells of 16 x 16 pixels; and by few colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
# (rows, columns): one for each cell.
Cells = npt.NDArray[np.bool_]

# Side of a cell in pixels: that of a sample of y.
CELL = 16
# The share of pixels that equal the left or the upper one, at which a cell is flat.
_FLAT_SHARE = 0.6
# A cell with ink: so many pixels equal both, and the samples of a channel differ by so much. Flat skies, and
# photographs that another codec has smoothed, have few of these: 2.9 % of the cells of kodim20, an aeroplane
# before a clipped sky, and less in the 23 other Kodak pictures.
_INK_SHARE, _INK_RANGE = 0.4, 48
# The share of cells with ink, of those that are not flat or have ink, from which a picture may hold graphics.
_MIN_INK = 0.05
# Of eight neighbours; fewer flat ones make a flat cell, and more another one, an exception.
_MIN_FLAT_NEIGHBOURS, _MAX_FLAT_NEIGHBOURS = 4, 6


# A picture has few colours if no more than so many are among so many samples, regularly spaced. Of a grey
# photograph there are 100 and more.
_FEW_COLOURS, _COLOUR_SAMPLES = 32, 4096


def has_few_colours(pixels: Pixels) -> bool:
    """Whether ``pixels`` (H, W, 3) have few colours, dithered or not: then no loss may be the smaller file."""
    height, width = pixels.shape[:2]
    places = np.arange(0, height * width, max(1, height * width // _COLOUR_SAMPLES))
    colours = pixels.reshape(-1, 3)[places].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    return len(np.unique(colours)) <= _FEW_COLOURS


def find_graphics(pixels: Pixels) -> Cells | None:
    """The cells of ``pixels`` (H, W, 3) that are better stored without loss; None for a photograph."""
    left, above = _equal_to_neighbours(pixels)
    counts = np.outer(_cell_sides(pixels.shape[0]), _cell_sides(pixels.shape[1]))
    flat = _sum_cells(left | above) >= _FLAT_SHARE * counts
    ink = _sum_cells(left & above) >= _INK_SHARE * counts
    if _is_photograph(flat, ink):
        # Most are told by now; ranges would take as long again.
        return None
    if _is_photograph(flat, ink & (_cell_ranges(pixels) >= _INK_RANGE)):
        return None
    neighbours = _count_neighbours(flat)
    cells: Cells = np.where(
        flat, neighbours >= _MIN_FLAT_NEIGHBOURS, neighbours > _MAX_FLAT_NEIGHBOURS
    )
    return cells if cells.any() else None


def _is_photograph(flat: Cells, ink: Cells) -> bool:
    busy = np.count_nonzero(ink | ~flat)
    return bool(np.count_nonzero(ink) < _MIN_INK * busy)


def stretch_cells(cells: Cells, height: int, width: int) -> Cells:
    """(height, width): for each pixel what its cell says."""
    return cells.repeat(CELL, axis=0)[:height].repeat(CELL, axis=1)[:, :width]


def _equal_to_neighbours(pixels: Pixels) -> tuple[Cells, Cells]:
    """For each pixel, whether it equals the left one, and the upper one; never in the first column and row."""
    packed = _pack_colours(pixels)
    left, above = np.zeros(packed.shape, np.bool_), np.zeros(packed.shape, np.bool_)
    np.equal(packed[:, 1:], packed[:, :-1], out=left[:, 1:])
    np.equal(packed[1:], packed[:-1], out=above[1:])
    return left, above


def _pack_colours(pixels: Pixels) -> npt.NDArray[np.uint32]:
    """One number for each pixel, so that one comparison does."""
    numbers = np.zeros((*pixels.shape[:2], 4), np.uint8)
    numbers[:, :, :3] = pixels
    packed: npt.NDArray[np.uint32] = numbers.view(np.uint32)[:, :, 0]
    return packed


def _sum_cells(values: Cells) -> npt.NDArray[np.uint16]:
    sums: npt.NDArray[np.uint16] = reduce_cells(np.add, values.view(np.uint8), np.uint16)
    return sums


def _cell_ranges(pixels: Pixels) -> Pixels:
    """Of each cell, highest minus lowest sample, of the channel where that is most."""
    ranges = reduce_cells(np.maximum, pixels) - reduce_cells(np.minimum, pixels)
    largest: Pixels = ranges.max(axis=2)
    return largest


def reduce_cells(
    function: np.ufunc, values: npt.NDArray[Any], dtype: npt.DTypeLike = None
) -> npt.NDArray[Any]:
    """``function`` over each cell of ``values`` (H, W, ...): (rows, columns, ...)."""
    # Down the columns first: that combines whole rows, which is fast.
    rows = function.reduceat(values, range(0, values.shape[0], CELL), axis=0)
    reduced: npt.NDArray[Any] = function.reduceat(
        rows, range(0, values.shape[1], CELL), axis=1, dtype=dtype
    )
    return reduced


def _count_neighbours(cells: Cells) -> npt.NDArray[np.uint8]:
    """How many of the eight around each are true; beyond the edge are those at the edge."""
    padded = np.pad(cells.astype(np.uint8), 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    counts: npt.NDArray[np.uint8] = windows.sum(axis=(2, 3), dtype=np.uint8) - cells
    return counts


def _cell_sides(length: int) -> npt.NDArray[np.int64]:
    return np.diff([*range(0, length, CELL), length])
