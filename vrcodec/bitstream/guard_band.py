"""The guard band: how a real number chooses the same table on every device.

A network's output t, computed in float64, names the table round(t). Two machines may differ in the last
bits of t, which matters only next to a rounding boundary. So the encoder lists every position whose t
lies within `GUARD` of a boundary, with the index that it used, and the decoder takes those from the
list. Any two computations whose noise is below the guard then agree everywhere (docs/EXACT.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.latent_stream import Tie
from vrcodec.errors import CorruptError

# Seven orders of magnitude above the measured noise of float64, and narrow enough that a picture of
# half a million symbols has a tie every few pictures.
GUARD = 2.0**-24

Reals = npt.NDArray[np.float64]
TableIndices = npt.NDArray[np.uint8]


def round_to_table(t: Reals, table_count: int) -> TableIndices:
    """round(t), clamped to 0 .. ``table_count`` - 1. Halves go up, so there is one boundary, not two."""
    return np.clip(np.floor(t + 0.5), 0, table_count - 1).astype(np.uint8)


def find_ties(t: Reals, indices: TableIndices, table_count: int) -> list[Tie]:
    """Ties at the positions of ``t`` (n,) that another computation might round differently."""
    distance = np.abs(t - np.floor(t) - 0.5)
    inside = (t > 0) & (t < table_count - 1)
    positions = np.flatnonzero((distance <= GUARD) & inside)
    return [Tie(int(p), int(indices[p])) for p in positions]


def apply_ties(indices: TableIndices, ties: list[Tie], table_count: int) -> TableIndices:
    """``indices`` (n,), overruled at the ties. Raises CorruptError for a tie or table out of range."""
    corrected = indices.copy()
    for tie in ties:
        if not (0 <= tie.position < len(indices) and 0 <= tie.index < table_count):
            raise CorruptError("a tie outside the stream")
        corrected[tie.position] = tie.index
    return corrected
