"""From an array to the operations of its library."""

from __future__ import annotations

import numpy as np

from vrcodec.kernels.base import Array, Kernels


def kernels_of(x: Array) -> Kernels:
    """The operations for ``x``."""
    if isinstance(x, np.ndarray | np.generic):
        from vrcodec.kernels.numpy_kernels import NUMPY

        return NUMPY
    from vrcodec.kernels.torch_kernels import TORCH

    return TORCH
