"""The networks of Balle et al. 2018 and Minnen et al. 2018, in CompressAI's layout: 5x5 convolutions and GDN.

Balle et al., "Variational image compression with a scale hyperprior", ICLR 2018 (`bmshj2018-hyperprior`);
Minnen et al., "Joint Autoregressive and Hierarchical Priors for Learned Image Compression", NeurIPS 2018,
without the autoregressive part (`mbt2018-mean`). Of a `BackboneSize` they take N = ``channels`` = ``hyper``,
M = ``latent``, and ``prior``, the channels of what the hyper-synthesis gives: M of a scale hyperprior, scales,
or 2M of a mean-scale hyperprior, scales and means. Pictures are RGB in [-0.5, 0.5], as those of
`networks.backbone`; the networks themselves want [0, 1].
"""

from __future__ import annotations

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.layers import Conv2d, LeakyReLU
from vrcodec.models.networks.module import Module, Sequential, parameter, uniform

# Receptive field: samples of y on each side that analysis and synthesis see, and of z that the hyper-analysis
# does. The hyper-synthesis sees `vrcodec.models.coding.decode_plan.HYPER_HALO`, as that of the other families.
HALO = 2
HYPER_ANALYSIS_HALO = 2

_COLOURS = 3
_GREY = 0.5
# Least square of the divisor of GDN.
GDN_FLOOR = 1e-6
# Initial weights of GDN: a tenth of a channel's own energy, and nearly nothing of the others'. At zero the
# gradient of a square would be zero, too.
_GDN_OWN, GDN_LEAST = 0.1**0.5, 2.0**-18
# Of PyTorch's LeakyReLU.
_SLOPE = 0.01


class Offset(Module):
    """Adds a number to each channel of (B, C, H, W); the zeros that convolutions see outside stay zeros."""

    def __init__(self, channels: int, value: float = 0.0) -> None:
        super().__init__()
        self.offset = parameter(np.full(channels, value, np.float32))

    def forward(self, x: Array) -> Array:
        return x + self.offset[:, None, None]


class Deconvolution(Module):
    """5x5 transposed convolution of stride 2, (B, C_in, H, W) -> (B, C_out, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        fan_in = 25 * outputs
        self.weight = parameter(uniform((inputs, outputs, 5, 5), fan_in))
        self.bias = parameter(uniform((outputs,), fan_in))

    def forward(self, x: Array) -> Array:
        return kernels_of(x).deconvolve(x, self.weight, self.bias)


class Gdn(Module):
    """Generalised divisive normalisation (Balle et al., ICLR 2016), same shape. ``inverse``: it multiplies.

    y = x / sqrt(b^2 + 1e-6 + W^2 x^2), all squares elementwise: the parameters are the roots of CompressAI's
    beta and gamma, so that these cannot become negative.
    """

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        own = np.maximum(_GDN_OWN * np.eye(channels, dtype=np.float32), np.float32(GDN_LEAST))
        self.weight = parameter(own)
        self.bias = parameter(np.ones(channels, np.float32))

    def forward(self, x: Array) -> Array:
        return kernels_of(x).run_in_strips(x, 0, self._run)

    def _run(self, x: Array, above: int, below: int) -> Array:
        kernels = kernels_of(x)
        energy = kernels.pointwise(x * x, self.weight**2, self.bias**2 + GDN_FLOOR)
        divisor = kernels.xp.sqrt(energy)
        return x * divisor if self.inverse else x / divisor


class FullPrecision(Sequential):
    """Layers that are computed in the type of their parameters, also where training computes in bfloat16.

    Latents are not bounded, and each layer feeds on the one before: 8 bits would be lost in the first.
    """

    def forward(self, x: Array) -> Array:
        with kernels_of(x).full_precision(x):
            return super().forward(x)


def analysis(size: BackboneSize) -> Sequential:
    """x (B, 3, 16h, 16w) -> y (B, M, h, w)."""
    n = size.channels
    return FullPrecision(
        Offset(_COLOURS, _GREY),
        _convolution(_COLOURS, n),
        Gdn(n),
        _convolution(n, n),
        Gdn(n),
        _convolution(n, n),
        Gdn(n),
        _convolution(n, size.latent),
    )


def synthesis(size: BackboneSize) -> Sequential:
    """y_hat (B, M, h, w) -> x_hat (B, 3, 16h, 16w)."""
    n = size.channels
    return FullPrecision(
        Deconvolution(size.latent, n),
        Gdn(n, inverse=True),
        Deconvolution(n, n),
        Gdn(n, inverse=True),
        Deconvolution(n, n),
        Gdn(n, inverse=True),
        Deconvolution(n, _COLOURS),
    )


def hyper_analysis(size: BackboneSize) -> Sequential:
    """y, or |y| of a scale hyperprior, (B, M, 4h, 4w) -> z (B, N, h, w). Runs on the encoder only."""
    n, slope = size.hyper, _slope(size)
    return FullPrecision(
        Conv2d(size.latent, n, 3, padding=1),
        LeakyReLU(slope),
        _convolution(n, n),
        LeakyReLU(slope),
        _convolution(n, n),
    )


def hyper_synthesis(size: BackboneSize) -> Sequential:
    """z_hat (B, N, h, w) -> scales, or scales and means, (B, prior, 4h, 4w). Chooses tables: runs in float64.

    Scales are bounded from below by whoever takes them. The offset puts back the medians of z.
    """
    n, m, slope = size.hyper, size.latent, _slope(size)
    widths = (m, 3 * m // 2) if has_means(size) else (n, n)
    return FullPrecision(
        Offset(n),
        Deconvolution(n, widths[0]),
        LeakyReLU(slope),
        Deconvolution(*widths),
        LeakyReLU(slope),
        Conv2d(widths[1], size.prior, 3, padding=1),
    )


def has_means(size: BackboneSize) -> bool:
    """Whether the hyperprior is a mean-scale one."""
    return size.prior == 2 * size.latent


def _slope(size: BackboneSize) -> float:
    return _SLOPE if has_means(size) else 0.0


def _convolution(inputs: int, outputs: int) -> Conv2d:
    return Conv2d(inputs, outputs, 5, stride=2, padding=2)
