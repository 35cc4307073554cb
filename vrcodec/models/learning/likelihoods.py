"""Differentiable likelihoods of latents, and operations whose gradients are not their own."""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.bitstream.tables import SCALE_MAX_LOG2, SCALE_MIN_LOG2

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


class _ClampWithGradient(torch.autograd.Function):
    """Clamp whose gradient still flows when it would bring the value back into range."""

    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward((x < low), (x > high))
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        below, above = ctx.saved_tensors
        outward = (below & (grad > 0)) | (above & (grad < 0))
        return grad.masked_fill(outward, 0.0), None, None


def clamp_with_gradient(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp ``x`` to [low, high] with gradients that can bring it back inside, unlike those of ``clamp``."""
    return _ClampWithGradient.apply(x, low, high)  # type: ignore[no-any-return]


def round_straight_through(x: Tensor) -> Tensor:
    """Round to the nearest integer; the gradient passes as if it were the identity."""
    return x + (x.round() - x).detach()
