"""The quantisation regulator: one number a(r), the reciprocal of the quantisation step.

Tong et al., "QVRF: A Quantization-error-aware Variable Rate Framework for Learned Image Compression",
ICIP 2023, section 3. The latents of any hyperprior model, with or without means, are coded as
q = round((y - mu) a) with scale sigma a, and come back as q / a + mu; with log2(sigma) predicted, a is an
offset of the table index. Networks see latents without a. Differences from the paper: a follows from
the continuous rate by log-linear interpolation between learned knots, which cannot fall.
"""

from __future__ import annotations

import math

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_knots
from vrcodec.models.networks.module import Module, parameter

# log2 of a runs over this range at first: a factor of 20, the square root of lambda's range.
_START, _END = -2.16, 2.16


class Regulator(Module):
    """a(r) with its knots: log2 of the first, and the rise of each of the others over the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = parameter(np.array([_START], np.float32))
        rise = (_END - _START) / (KNOTS - 1)
        # Inverse of the softplus below.
        logarithm = math.log(math.expm1(rise))
        self.rises = parameter(np.full(KNOTS - 1, logarithm, np.float32))

    def log2_scale(self, rate: Array) -> Array:
        """log2 a of ``rate`` (B,), as (B, 1, 1, 1) in the dtype of ``rate``."""
        kernels = kernels_of(rate)
        xp = kernels.xp
        # Softplus.
        rises = xp.log1p(xp.exp(kernels.like(self.rises, rate)))
        first = kernels.like(self.first, rate)
        knots = xp.concatenate((first, first + rises.cumsum(0)))
        return as_channels(interpolate_knots(knots[:, None], rate))


def quantise(y: Array, mean: Array | float, log2_a: Array) -> Array:
    """(y - mean) in quantisation steps, not yet rounded."""
    return (y - mean) * kernels_of(log2_a).xp.exp2(log2_a)


def dequantise(symbols: Array, mean: Array | float, log2_a: Array) -> Array:
    """Inverse of `quantise`."""
    return symbols * kernels_of(log2_a).xp.exp2(-log2_a) + mean
