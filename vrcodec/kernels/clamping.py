"""Clamping whose gradients lead back into the range."""

from __future__ import annotations

import torch
from torch import Tensor


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
