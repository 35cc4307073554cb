"""The guard band: how a real number chooses the same table on every device.

A network's output t, computed in float64, names the table round(t). Two machines may differ in the last
bits of t, which matters only next to a rounding boundary. So the encoder lists every position whose t
lies within `GUARD` of a boundary, with the index that it used, and the decoder takes those from the
list. Any two computations whose noise is below the guard then agree everywhere (docs/EXACT.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.payload import Tie
from vrcodec.errors import CorruptError

# Seven orders of magnitude above the measured noise of float64, and narrow enough that a picture of
# half a million symbols has a tie every few pictures.
GUARD = 2.0**-24

Reals = npt.NDArray[np.float64]
TableIndices = npt.NDArray[np.uint8]


def round_to_table(t: Reals, tables: int) -> TableIndices:
    """round(t), clamped to 0 .. tables - 1. Halves go up, so there is one boundary, not two."""
    return np.clip(np.floor(t + 0.5), 0, tables - 1).astype(np.uint8)


def find_ties(t: Reals, indices: TableIndices, tables: int) -> list[Tie]:
    """Positions of ``t`` (n,) that another computation might round differently."""
    distance = np.abs(t - np.floor(t) - 0.5)
    inside = (t > 0) & (t < tables - 1)
    positions = np.flatnonzero((distance <= GUARD) & inside)
    return [Tie(int(p), int(indices[p])) for p in positions]


def apply_ties(indices: TableIndices, ties: list[Tie], tables: int) -> TableIndices:
    """Overrule ``indices`` (n,) where the encoder said so. Raises CorruptError on nonsense."""
    settled = indices.copy()
    for tie in ties:
        if not (0 <= tie.position < len(indices) and 0 <= tie.index < tables):
            raise CorruptError("a tie outside the stream")
        settled[tie.position] = tie.index
    return settled
