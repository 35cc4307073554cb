"""What timings share: a photograph, medians, the rate of matrix products on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import skimage.data
import torch

from vrcodec.picture.picture import Picture

REPEATS = 15
# Large enough for the matrix units, small enough for the cache.
_MATRIX_SIDE = 2048


def photograph(width: int = 768, height: int = 512) -> Picture:
    """A photograph that scikit-image carries, repeated and cut to size."""
    tile = skimage.data.astronaut()
    down, across = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return Picture.from_array(np.tile(tile, (down, across, 1))[:height, :width].copy())


def median_seconds(work: Callable[[], object], repeats: int = REPEATS, warm_up: int = 2) -> float:
    """Median duration of ``work`` in seconds, after ``warm_up`` calls."""
    durations = []
    for _ in range(warm_up + repeats):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[warm_up:])


def matrix_product_rates() -> dict[torch.dtype, float]:
    """`matrix_product_rate` of the types that are in use."""
    types = (torch.float64, torch.float32, torch.bfloat16)
    return {dtype: matrix_product_rate(dtype) for dtype in types}


def matrix_product_rate(dtype: torch.dtype) -> float:
    """Operations per second (a multiplication and an addition are two) of a plain matrix product."""
    a = torch.randn(_MATRIX_SIDE, _MATRIX_SIDE, dtype=torch.float64).to(dtype)
    return 2 * _MATRIX_SIDE**3 / median_seconds(lambda: a @ a, 7)
