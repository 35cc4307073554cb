"""Preprocessing of black-and-white patterns that are harder than anything the models were trained on.

Dithered greys, lines of one pixel or noise of black and white drive a network far out of its range: it decodes
black regions or noise, from a file larger than the samples. Where neighbours differ more than in nearly any
photograph, their contrast is therefore reduced to the highest that is handled well. Local means stay about
what they were.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vrcodec.picture.interpolation import Reals, upsample_bilinear

Pixels = npt.NDArray[np.uint8]

# The root mean square, over a cell, of grey minus its mean over 3 x 3 pixels. Two of 737 photographs have
# more, 68.5 at most; of the shipped models the first breaks down between 70 and 72.
_MAX_DETAIL = 66.0
# Side of a cell in pixels.
_CELL = 16
# Rows of pixels that are in floating point at a time: whole cells.
_STRIP = 256


def soften_patterns(pixels: Pixels) -> Pixels:
    """``pixels`` (H, W, 3) uint8 as they are or, where they have hard patterns, a copy with softer ones."""
    detail = np.concatenate([_measure_detail(pixels, rows) for rows in _strips(len(pixels))])
    if detail.max() <= _MAX_DETAIL:
        return pixels
    gain = np.minimum(1, _MAX_DETAIL / np.maximum(_max_filter(detail), _MAX_DETAIL))
    result = pixels.copy()
    for rows in _strips(len(pixels)):
        strip, mean = _with_local_means(_pad_strip(pixels, rows).astype(np.float32))
        strip_gain = upsample_bilinear(gain[:, :, None], _CELL, rows, pixels.shape[1])
        softened = np.rint(mean + (strip - mean) * strip_gain).clip(0, 255)
        result[rows.start : rows.stop] = softened.astype(np.uint8)
    return result


def _strips(height: int) -> Iterator[range]:
    for top in range(0, height, _STRIP):
        yield range(top, min(top + _STRIP, height))


def _pad_strip(pixels: Pixels, rows: range) -> Pixels:
    """``rows`` of pixels with one more on every side; edges are repeated."""
    low, high = max(rows.start - 1, 0), min(rows.stop + 1, len(pixels))
    edges = (low - rows.start + 1, rows.stop + 1 - high)
    return np.pad(pixels[low:high], (edges, (1, 1), (0, 0)), mode="edge")


def _with_local_means(padded: Reals) -> tuple[Reals, Reals]:
    """``padded`` without its padding, and the mean of 3 x 3 around each of those samples."""
    column_sums = padded[:-2] + padded[1:-1] + padded[2:]
    means = (column_sums[:, :-2] + column_sums[:, 1:-1] + column_sums[:, 2:]) / 9
    return padded[1:-1, 1:-1], means


def _measure_detail(pixels: Pixels, rows: range) -> Reals:
    """For each cell in ``rows``, the root mean square of grey minus its local mean."""
    grey, mean = _with_local_means(_pad_strip(pixels, rows).sum(axis=2, dtype=np.float32) / 3)
    bottom, right = -len(rows) % _CELL, -pixels.shape[1] % _CELL
    whole = np.pad(np.square(grey - mean), ((0, bottom), (0, right)), mode="edge")
    cells = whole.reshape(whole.shape[0] // _CELL, _CELL, whole.shape[1] // _CELL, _CELL)
    detail: Reals = np.sqrt(cells.mean(axis=(1, 3)))
    return detail


def _max_filter(values: Reals) -> Reals:
    """The largest of each cell and the eight around it."""
    padded = np.pad(values, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    largest: Reals = windows.max(axis=(2, 3))
    return largest
