"""Gains by rate: knots over r in [0, 1], interpolated log-linearly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.kernels import Array, kernels_of

# Evenly spaced over the rate.
KNOTS = 8


def initial_ramp(spread: float, channels: int) -> npt.NDArray[np.float32]:
    """Knots (L, C) that rise from -``spread`` to ``spread``."""
    ramp = np.linspace(-spread, spread, KNOTS, dtype=np.float32)
    return np.repeat(ramp[:, None], channels, axis=1)


def interpolate_knots(knots: Array, rate: Array) -> Array:
    """Piecewise-linear interpolation of ``knots`` (L, C), evenly spaced over [0, 1], at ``rate`` (...).

    Returns (..., C) in the dtype of ``knots``. With logarithms of gains as knots this is the
    exponential interpolation of Cui et al. 2021, section 3.3.
    """
    kernels = kernels_of(knots)
    last = knots.shape[0] - 1
    position = kernels.like(rate, knots).clip(0.0, 1.0) * last
    left = kernels.xp.floor(position).clip(0, last - 1)
    weight = (position - left)[..., None]
    index = kernels.int64(left)
    return knots[index] * (1 - weight) + knots[index + 1] * weight


def as_channels(vector: Array) -> Array:
    """(B, C) -> (B, C, 1, 1), to scale feature maps."""
    return vector[..., None, None]


def interpolate_gains(log_knots: Array, rate: Array) -> Array:
    """Gains (B, C, 1, 1) at ``rate`` (B,), in its dtype, from the logarithms (L, C) of their knots."""
    kernels = kernels_of(rate)
    return as_channels(kernels.xp.exp(interpolate_knots(kernels.like(log_knots, rate), rate)))


def interpolate_gain_map(log_knots: Array, levels: Array) -> Array:
    """`interpolate_gains` for maps of rates: ``levels`` (B, 1, h, w) -> (B, C, h, w)."""
    kernels = kernels_of(levels)
    gains = kernels.xp.exp(interpolate_knots(kernels.like(log_knots, levels), levels[:, 0]))
    return kernels.xp.moveaxis(gains, -1, 1)
