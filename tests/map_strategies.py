"""What hypothesis draws for tests of quality maps: cells, levels, sides of pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

Cells = npt.NDArray[np.uint8]

cell_arrays = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))
level_maps = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(0, 1)
)
sides = st.integers(1, 300)
