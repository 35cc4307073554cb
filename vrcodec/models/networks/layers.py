"""Building blocks of the backbone: 1x1 convolutions, one depthwise 3x3, a gated product.

The style is that of DCVC-RT (Jia et al., "Towards Practical Real-Time Neural Video Compression",
CVPR 2025): nothing runs at full resolution, and nearly all the work is in 1x1 convolutions, which
are plain matrix products. Layer names make a state dict readable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.1


_skip_initialisation: ContextVar[bool] = ContextVar("skip_initialisation", default=False)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Leave parameters of layers made inside uninitialised: for models that are about to be loaded.

    The meta device would do as well, but its first use takes a second of imports.
    """
    token = _skip_initialisation.set(True)
    try:
        yield
    finally:
        _skip_initialisation.reset(token)


def initialises() -> bool:
    """Whether layers that are made now draw random initial parameters."""
    return not _skip_initialisation.get()


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` that heeds `uninitialised`."""

    def reset_parameters(self) -> None:
        if initialises():
            super().reset_parameters()


class Depthwise(Conv2d):
    """3x3 convolution of each channel by itself, (B, C, H, W) -> (B, factor C, H, W), zeros outside."""

    def __init__(self, channels: int, factor: int = 1) -> None:
        super().__init__(channels, factor * channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        # PyTorch computes float64 channel by channel: nine shifted products are five times as fast.
        return self._by_shifts(x) if x.dtype == torch.float64 else super().forward(x)

    def _by_shifts(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = F.pad(x, (1, 1, 1, 1)).repeat_interleave(self.out_channels // x.shape[1], dim=1)
        assert self.bias is not None
        out = self.bias[:, None, None].expand(len(x), -1, height, width).clone()
        for row in range(3):
            for column in range(3):
                window = padded[..., row : row + height, column : column + width]
                out.addcmul_(window, self.weight[:, :1, row, column, None])
        return out


class Pointwise(nn.Linear):
    """1x1 convolution, (B, C_in, H, W) -> (B, C_out, H, W), whose weight is stored as a matrix.

    So an optimizer for matrices (Muon) sees it as one.
    """

    def reset_parameters(self) -> None:
        if initialises():
            super().reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class PixelUnshuffle(nn.Module):
    """`nn.PixelUnshuffle`, (B, C, rH, rW) -> (B, C r^2, H, W), that keeps the channels-last layout.

    PyTorch's returns channels first, and every layer behind it would convert the layout.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        r = self.factor
        b, c, h, w = x.shape
        patches = x.permute(0, 2, 3, 1).reshape(b, h // r, r, w // r, r, c)
        flat = patches.permute(0, 1, 3, 5, 2, 4).reshape(b, h // r, w // r, c * r * r)
        return flat.permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Residual block: a depthwise 3x3 branch, then a gated 1x1 branch.

    Shape: (B, C, H, W) -> (B, C, H, W). The receptive field grows by one sample on each side.
    The last convolution of each branch starts at zero, so that a new block is the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = Pointwise(channels, channels)
        self.depthwise = Depthwise(channels)
        self.mix = Pointwise(channels, channels)
        self.gate = Pointwise(channels, 2 * channels)
        self.merge = Pointwise(channels, channels)
        for layer in (self.mix, self.merge):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        # Without gradients, memory is reused: fresh pages cost more than the arithmetic on them.
        reuse = not torch.is_grad_enabled()
        spread = F.leaky_relu(self.spread(self._narrow(x)), LEAKY_SLOPE, inplace=reuse)
        x = x + self.mix(self.depthwise(spread))
        left, right = self.gate(self._narrow(x)).chunk(2, dim=1)
        branch = self.merge(F.silu(left, inplace=reuse) * right)
        # The sum above may be overwritten; the input may not.
        return x.add_(branch) if reuse else x + branch

    def _narrow(self, x: Tensor) -> Tensor:
        """Input of a branch. With bfloat16 weights only the branches are in bfloat16, not their sum."""
        return x.bfloat16() if self.mix.weight.dtype == torch.bfloat16 else x


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the last row and column of (B, C, H, W) until both sides divide by ``multiple``."""
    height, width = x.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return x
    return F.pad(x, (0, right, 0, below), mode="replicate")


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


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 when it is."""
    return x if x.dtype == torch.float64 else x.float()
