"""Bilinear upsampling of a coarse grid to pixels, a strip of rows at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float32]


def upsample_bilinear(coarse: Reals, factor: int, rows: range, width: int) -> Reals:
    """``coarse`` (h, w, C) at ``factor`` times its size: pixels of ``rows`` and the first ``width`` columns.

    (len(rows), width, C). Linear between the centres of cells, constant beyond the outermost ones.
    """
    upper, lower, row_weight = _neighbours(np.arange(rows.start, rows.stop), len(coarse), factor)
    left, right, column_weight = _neighbours(np.arange(width), coarse.shape[1], factor)
    # Rows before columns, so that only the cells of this strip are interpolated.
    strip = coarse[upper] + (coarse[lower] - coarse[upper]) * row_weight[:, None, None]
    pixels: Reals = strip[:, left] + (strip[:, right] - strip[:, left]) * column_weight[:, None]
    return pixels


def _neighbours(
    pixels: npt.NDArray[np.int64], cells: int, factor: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Reals]:
    """For every pixel the two cells between whose centres it lies, and the weight of the second."""
    position = np.clip((pixels + 0.5) / factor - 0.5, 0, cells - 1)
    first = position.astype(np.int64)
    second = np.minimum(first + 1, cells - 1)
    return first, second, (position - first).astype(np.float32)
