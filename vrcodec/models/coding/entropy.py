"""The Gaussian entropy model, with mean and log2 scale, and quantisation for it.

In training it is a differentiable likelihood of noisy latents; in coding it is a set of integer tables
(`vrcodec.bitstream.tables`), frozen when weights are exported. The table of a symbol is chosen by t, the
log2 scale in units of the table grid: t = (log2(sigma) + 3) * 16/3, index = round(t) clamped to 0 .. 63.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vrcodec.bitstream.tables import (
    SCALE_MAX_LOG2,
    SCALE_MIN_LOG2,
    SCALE_STEP_LOG2,
    TableSet,
    gaussian_tables,
)
from vrcodec.models.networks.layers import clamp_with_gradient

# A floor of about 2^-20: the price of an escaped symbol in the tables, so that training pays for
# outliers what coding will.
LIKELIHOOD_FLOOR = 1e-6
# By how many centroid shifts encoders move all bins but that of zero outwards. At 0 they would round to the
# nearest; at 1 the centroids of bins would lie on their symbols.
DEAD_ZONE = 0.5
_SQRT_HALF = 0.5**0.5


def scale_index(log2_scale: Tensor) -> Tensor:
    """log2(sigma) -> real-valued table index t; rounding is left to the guard band."""
    return (log2_scale - SCALE_MIN_LOG2) / SCALE_STEP_LOG2


def centroid_shift(log2_scale: Tensor) -> Tensor:
    """How far the centroid of a quantisation bin lies from its middle, towards zero: 0 .. 1/2, same shape.

    For a Laplacian of standard deviation 2^log2_scale in steps, the same for every bin but that of zero:
    Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", 1996, section III.
    """
    # Beyond a scale of 32 the shift is below 1/250, and the difference would lose its precision.
    b = torch.exp2(log2_scale.clamp(-8.0, 5.0)) * _SQRT_HALF
    return 0.5 / torch.tanh(0.5 / b) - b


def dead_zone_offset(value: Tensor, log2_scale: Tensor) -> Tensor:
    """What the dead zone subtracts from ``value`` in steps, of this scale, before rounding; same shape."""
    zone = DEAD_ZONE * centroid_shift(log2_scale)
    return value.clamp(-zone, zone)


def round_with_dead_zone(value: Tensor, log2_scale: Tensor) -> Tensor:
    """Round ``value`` in steps, of this scale (same shape or broadcast), with bins shifted outwards.

    Improbable values cost more bits than their distortion is worth, so bins begin further out the smaller
    the scale.
    """
    return (value - dead_zone_offset(value, log2_scale)).round()


def gaussian_likelihood(residual: Tensor, log2_scale: Tensor) -> Tensor:
    """P(residual - 1/2 < X < residual + 1/2) for X ~ N(0, 2^log2_scale), same shape, in float32."""
    clamped = clamp_with_gradient(log2_scale.float(), SCALE_MIN_LOG2, SCALE_MAX_LOG2)
    inverse = torch.exp2(-clamped) * _SQRT_HALF
    distance = residual.float().abs()
    # erfc of a positive argument keeps its precision far out, where 1 - erf would be zero.
    near_tail = torch.erfc((distance - 0.5) * inverse)
    far_tail = torch.erfc((distance + 0.5) * inverse)
    return clamp_with_gradient(0.5 * (near_tail - far_tail), LIKELIHOOD_FLOOR, 1.0)


class TableBuffers(nn.Module):
    """Holds a `TableSet` as buffers: part of the weights file and of its id."""

    frequencies: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("sizes", torch.zeros(0, dtype=torch.int32))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # Tables differ in size from one set of weights to the next.
        for name in ("frequencies", "sizes"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def freeze_tables(self, tables: TableSet) -> None:
        """Store ``tables``; from here on coding uses exactly these integers."""
        tables.check()
        self.frequencies = torch.from_numpy(tables.frequencies.astype(np.int32))
        self.sizes = torch.from_numpy(tables.sizes.astype(np.int32))

    def tables(self) -> TableSet:
        """The frozen tables. Raises ValueError when there are none or they are damaged."""
        tables = TableSet(
            self.frequencies.cpu().numpy().astype(np.int64),
            self.sizes.cpu().numpy().astype(np.int64),
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
