"""Values of a coarse grid at the pixels of a finer one: linear between the centres of its cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float32]


def between_cells(coarse: Reals, factor: int, rows: range, width: int) -> Reals:
    """(len(rows), width, C) of ``coarse`` (h, w, C), whose cells have ``factor`` x ``factor`` pixels."""
    upper, lower, down = _places(np.arange(rows.start, rows.stop), len(coarse), factor)
    left, right, across = _places(np.arange(width), coarse.shape[1], factor)
    # Few rows first: what is not among them is not touched.
    mixed = coarse[upper] + (coarse[lower] - coarse[upper]) * down[:, None, None]
    spread: Reals = mixed[:, left] + (mixed[:, right] - mixed[:, left]) * across[:, None]
    return spread


def _places(
    pixels: npt.NDArray[np.int64], cells: int, factor: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Reals]:
    """For every pixel the two cells between whose centres it lies, and the second's share."""
    position = np.clip((pixels + 0.5) / factor - 0.5, 0, cells - 1)
    first = position.astype(np.int64)
    second = np.minimum(first + 1, cells - 1)
    return first, second, (position - first).astype(np.float32)
