"""Hard patterns of black and white, made softer before they are coded: models have never seen their like.

Dithered greys, lines of one pixel or noise of black and white drive a network beyond all that it was trained
on: what comes out are black regions or noise, in a file larger than the samples. Where neighbours differ more
than in nearly any photograph, their differences are therefore reduced to the largest that are handled well. The
mean of any place stays about what it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vrcodec.picture.interpolation import Reals, between_cells

Pixels = npt.NDArray[np.uint8]

# Root mean square, over a cell, of what grey has beyond the mean of 3 x 3 pixels. Two of 737 photographs have
# more, 68.5 at most; of the shipped models the first breaks down between 70 and 72.
_TOLERATED = 66.0
_CELL = 16
# Rows of pixels that are in floating point at a time: whole cells.
_STRIP = 256


def tamed(pixels: Pixels) -> Pixels:
    """``pixels`` (H, W, 3) uint8 as they are or, where they have hard patterns, a copy with softer ones."""
    detail = np.concatenate([_detail(pixels, rows) for rows in _strips(len(pixels))])
    if detail.max() <= _TOLERATED:
        return pixels
    share = np.minimum(1, _TOLERATED / np.maximum(_largest_around(detail), _TOLERATED))
    result = pixels.copy()
    for rows in _strips(len(pixels)):
        part, mean = _with_means(_padded(pixels, rows).astype(np.float32))
        kept = between_cells(share[:, :, None], _CELL, rows, pixels.shape[1])
        changed = np.rint(mean + (part - mean) * kept).clip(0, 255)
        result[rows.start : rows.stop] = changed.astype(np.uint8)
    return result


def _strips(height: int) -> Iterator[range]:
    for top in range(0, height, _STRIP):
        yield range(top, min(top + _STRIP, height))


def _padded(pixels: Pixels, rows: range) -> Pixels:
    """``rows`` of pixels with one more on every side; edges are repeated."""
    low, high = max(rows.start - 1, 0), min(rows.stop + 1, len(pixels))
    edges = (low - rows.start + 1, rows.stop + 1 - high)
    return np.pad(pixels[low:high], (edges, (1, 1), (0, 0)), mode="edge")


def _with_means(padded: Reals) -> tuple[Reals, Reals]:
    """What was padded, and the mean of 3 x 3 around each of its samples."""
    down = padded[:-2] + padded[1:-1] + padded[2:]
    return padded[1:-1, 1:-1], (down[:, :-2] + down[:, 1:-1] + down[:, 2:]) / 9


def _detail(pixels: Pixels, rows: range) -> Reals:
    """Of each cell in ``rows``, the root mean square of what grey has beyond its local mean."""
    grey, mean = _with_means(_padded(pixels, rows).sum(axis=2, dtype=np.float32) / 3)
    down, across = -len(rows) % _CELL, -pixels.shape[1] % _CELL
    whole = np.pad(np.square(grey - mean), ((0, down), (0, across)), mode="edge")
    cells = whole.reshape(whole.shape[0] // _CELL, _CELL, whole.shape[1] // _CELL, _CELL)
    root: Reals = np.sqrt(cells.mean(axis=(1, 3)))
    return root


def _largest_around(values: Reals) -> Reals:
    """The largest of each cell and the eight around it."""
    padded = np.pad(values, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    largest: Reals = windows.max(axis=(2, 3))
    return largest
