"""Building blocks of the backbone: 1x1 convolutions, one depthwise 3x3, a gated product.

The style is that of DCVC-RT (Jia et al., "Towards Practical Real-Time Neural Video Compression",
CVPR 2025): nothing runs at full resolution, and nearly all the work is in 1x1 convolutions, which
are plain matrix products. Layer names make a state dict readable.
"""

from __future__ import annotations

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.module import Module, parameter, uniform

LEAKY_SLOPE = 0.1


class Conv2d(Module):
    """Convolution (B, C_in, H, W) -> (B, C_out, H', W') with square kernels of ``side`` samples."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        fan_in = inputs * side * side
        self.weight = parameter(uniform((outputs, inputs, side, side), fan_in))
        self.bias = parameter(uniform((outputs,), fan_in))

    def forward(self, x: Array) -> Array:
        return kernels_of(x).convolve(x, self.weight, self.bias, self.stride, self.padding)


class Depthwise(Module):
    """3x3 convolution of each channel by itself, (B, C, H, W) -> (B, factor C, H, W), zeros outside."""

    def __init__(self, channels: int, factor: int = 1) -> None:
        super().__init__()
        self.weight = parameter(uniform((factor * channels, 1, 3, 3), 9))
        self.bias = parameter(uniform((factor * channels,), 9))

    def forward(self, x: Array) -> Array:
        return kernels_of(x).depthwise(x, self.weight, self.bias)


class Pointwise(Module):
    """1x1 convolution, (B, C_in, H, W) -> (B, C_out, H, W), whose weight is stored as a matrix.

    So an optimizer for matrices (Muon) sees it as one.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = parameter(uniform((outputs, inputs), inputs))
        self.bias = parameter(uniform((outputs,), inputs))

    def forward(self, x: Array) -> Array:
        return kernels_of(x).pointwise(x, self.weight, self.bias)


class LeakyReLU(Module):
    """Leaky ReLU, in the memory of its input where there are no gradients; with ``slope`` 0, ReLU."""

    def __init__(self, slope: float = LEAKY_SLOPE) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return kernels_of(x).leaky_relu(x, self.slope, reuse=True)


class PixelShuffle(Module):
    """(B, C r^2, H, W) -> (B, C, r H, r W)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Array) -> Array:
        return kernels_of(x).pixel_shuffle(x, self.factor)


class PixelUnshuffle(Module):
    """(B, C, r H, r W) -> (B, C r^2, H, W)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Array) -> Array:
        return kernels_of(x).pixel_unshuffle(x, self.factor)


class ResidualBlock(Module):
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
            set_to_zero(layer)

    def forward(self, x: Array) -> Array:
        return kernels_of(x).run_in_strips(x, 1, self._run)

    def _run(self, x: Array, above: int, below: int) -> Array:
        """The block for ``x`` without its rows ``above`` and ``below``."""
        # Without gradients, memory is reused: fresh pages cost more than the arithmetic on them.
        kernels = kernels_of(x)
        spread = self.depthwise(kernels.leaky_relu(self.spread(x), LEAKY_SLOPE, reuse=True))
        if above or below:
            rows = slice(above, x.shape[2] - below)
            x, spread = x[:, :, rows], spread[:, :, rows]
        x = kernels.add(x, self.mix(spread))
        branch = self.merge(kernels.silu_gate(self.gate(x)))
        # The sum above may be overwritten; the input may not.
        return kernels.add(x, branch, reuse=True)


def set_to_zero(layer: Pointwise) -> None:
    """Let a layer begin at zero."""
    layer.weight[:] = 0
    layer.bias[:] = 0


def pad_to_multiple(x: Array, multiple: int) -> Array:
    """Replicate the last row and column of (B, C, H, W) until both sides divide by ``multiple``."""
    height, width = x.shape[-2:]
    below, right = -height % multiple, -width % multiple
    return kernels_of(x).pad_last(x, below, right) if below or right else x
