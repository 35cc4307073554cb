"""Gains by rate: knots over r in [0, 1], interpolated log-linearly."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.bitstream.quality_map import MAP_STRIDE
from vrcodec.regions.grid import STRIDE

# Evenly spaced over the rate.
KNOTS = 8


def interpolate_knots(knots: Tensor, rate: Tensor) -> Tensor:
    """Piecewise-linear interpolation of ``knots`` (L, C), evenly spaced over [0, 1], at ``rate`` (...).

    Returns (..., C) in the dtype of ``knots``. With logarithms of gains as knots this is the
    exponential interpolation of Cui et al. 2021, section 3.3.
    """
    last = knots.shape[0] - 1
    position = rate.to(knots.dtype).clamp(0.0, 1.0) * last
    left = position.floor().clamp(max=last - 1)
    weight = (position - left).unsqueeze(-1)
    index = left.long()
    return knots[index] * (1 - weight) + knots[index + 1] * weight


def as_channels(vector: Tensor) -> Tensor:
    """(B, C) -> (B, C, 1, 1), to scale feature maps."""
    return torch.unsqueeze(torch.unsqueeze(vector, -1), -1)


def interpolate_gains(log_knots: Tensor, rate: Tensor) -> Tensor:
    """Gains (B, C, 1, 1) at ``rate`` (B,), in its dtype, from the logarithms (L, C) of their knots."""
    return as_channels(interpolate_knots(log_knots.to(rate.device, rate.dtype), rate).exp())


def interpolate_gain_map(log_knots: Tensor, levels: Tensor) -> Tensor:
    """`interpolate_gains` for maps of rates: ``levels`` (B, 1, h, w) -> (B, C, h, w)."""
    knots = log_knots.to(levels.device, levels.dtype)
    return interpolate_knots(knots, levels[:, 0]).exp().permute(0, 3, 1, 2)


def upsample_levels(maps: Tensor) -> Tensor:
    """Levels (B, 1, h, w) on the grid of a quality map -> (B, 1, 2h, 2w), at the samples of y."""
    return F.interpolate(maps, scale_factor=MAP_STRIDE // STRIDE, mode="nearest")
