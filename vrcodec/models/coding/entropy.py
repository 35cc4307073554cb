"""The Gaussian entropy model, with mean and log2 scale, and quantisation for it.

In training it is a differentiable likelihood of noisy latents (`vrcodec.models.learning`); in coding it is a
set of integer tables (`vrcodec.bitstream.tables`), frozen when weights are exported. The table of a symbol is
chosen by t, the log2 scale in units of the table grid: t = (log2(sigma) + 3) * 16/3, index = round(t) clamped
to 0 .. 63.
"""

from __future__ import annotations

import numpy as np

from vrcodec.bitstream.tables import SCALE_MIN_LOG2, SCALE_STEP_LOG2, TableSet, gaussian_tables
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.module import Module, buffer

# By how many centroid shifts encoders move all bins but that of zero outwards. At 0 they would round to the
# nearest; at 1 the centroids of bins would lie on their symbols.
DEAD_ZONE = 0.5
_SQRT_HALF = 0.5**0.5


def scale_index(log2_scale: Array) -> Array:
    """log2(sigma) -> real-valued table index t; rounding is left to the guard band."""
    return (log2_scale - SCALE_MIN_LOG2) / SCALE_STEP_LOG2


def centroid_shift(log2_scale: Array) -> Array:
    """How far the centroid of a quantisation bin lies from its middle, towards zero: 0 .. 1/2, same shape.

    For a Laplacian of standard deviation 2^log2_scale in steps, the same for every bin but that of zero:
    Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", 1996, section III.
    """
    xp = kernels_of(log2_scale).xp
    # Beyond a scale of 32 the shift is below 1/250, and the difference would lose its precision.
    b = xp.exp2(log2_scale.clip(-8.0, 5.0)) * _SQRT_HALF
    return 0.5 / xp.tanh(0.5 / b) - b


def dead_zone_offset(value: Array, log2_scale: Array) -> Array:
    """What the dead zone subtracts from ``value`` in steps, of this scale, before rounding; same shape."""
    zone = DEAD_ZONE * centroid_shift(log2_scale)
    return value.clip(-zone, zone)


def round_with_dead_zone(value: Array, log2_scale: Array) -> Array:
    """Round ``value`` in steps, of this scale (same shape or broadcast), with bins shifted outwards.

    Improbable values cost more bits than their distortion is worth, so bins begin further out the smaller
    the scale.
    """
    return (value - dead_zone_offset(value, log2_scale)).round()


class TableBuffers(Module):
    """Holds a `TableSet` as buffers: part of the weights file and of its id."""

    # Tables differ in size from one set of weights to the next.
    resizable = ("frequencies", "sizes")

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = buffer(np.zeros(0, np.int32))
        self.sizes = buffer(np.zeros(0, np.int32))

    def freeze_tables(self, tables: TableSet) -> None:
        """Store ``tables``; from here on coding uses exactly these integers."""
        tables.check()
        kernels = kernels_of(self.sizes)
        self.frequencies = kernels.array(tables.frequencies.astype(np.int32))
        self.sizes = kernels.array(tables.sizes.astype(np.int32))

    def tables(self) -> TableSet:
        """The frozen tables. Raises ValueError when there are none or they are damaged."""
        to_numpy = kernels_of(self.sizes).to_numpy
        tables = TableSet(
            to_numpy(self.frequencies).astype(np.int64), to_numpy(self.sizes).astype(np.int64)
        )
        tables.check()
        return tables


class GaussianConditional(TableBuffers):
    """Tables of the residual of y, one for each scale of the grid.

    In training y has a rounded Gaussian. So have the tables, or the distribution measured of residuals
    (`vrcodec.training.calibration`).
    """

    def freeze(self) -> None:
        """Take the tables of the Gaussian. Done once, at export."""
        self.freeze_tables(gaussian_tables())
