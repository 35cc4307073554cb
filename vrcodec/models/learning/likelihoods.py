"""Differentiable likelihoods of latents, and operations whose gradients are not their own."""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.bitstream.tables import SCALE_MAX_LOG2, SCALE_MIN_LOG2
from vrcodec.kernels.clamping import clamp_with_gradient

# A floor of about 2^-20: the price of an escaped symbol in the tables, so that training pays for
# outliers what coding will.
LIKELIHOOD_FLOOR = 1e-6
_SQRT_HALF = 0.5**0.5


def gaussian_likelihood(residual: Tensor, log2_scale: Tensor) -> Tensor:
    """P(residual - 1/2 < X < residual + 1/2) for X ~ N(0, 2^log2_scale), same shape, in float32."""
    clamped = clamp_with_gradient(log2_scale.float(), SCALE_MIN_LOG2, SCALE_MAX_LOG2)
    inverse = torch.exp2(-clamped) * _SQRT_HALF
    distance = residual.float().abs()
    # erfc of a positive argument keeps its precision far out, where 1 - erf would be zero.
    near_tail = torch.erfc((distance - 0.5) * inverse)
    far_tail = torch.erfc((distance + 0.5) * inverse)
    return clamp_with_gradient(0.5 * (near_tail - far_tail), LIKELIHOOD_FLOOR, 1.0)


def round_straight_through(x: Tensor) -> Tensor:
    """Round to the nearest integer; the gradient passes as if it were the identity."""
    return x + (x.round() - x).detach()
