"""MS-SSIM of arrays of NumPy or of PyTorch, there with gradients: for the search, targets, and measuring.

Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment" (Asilomar 2003), of
RGB, the mean over the channels; scores agree with those of the Python package `pytorch-msssim` (tested).
"""

from __future__ import annotations

import math

from vrcodec.kernels import Array, kernels_of
from vrcodec.metrics.gaussian_window import WINDOW_RADIUS, local_statistics
from vrcodec.metrics.strips import strip_rows

# Of the five scales, the finest first (section 3.2).
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# The coarsest scale needs a window of samples.
MIN_SIDE = 2 * WINDOW_RADIUS * 2 ** (len(_EXPONENTS) - 1) + 1
_C1 = 0.01**2
_C2 = 0.03**2
# Keeps roots of nothing from having an infinite gradient.
_TINY = 1e-30

Pair = tuple[Array, Array]


def ms_ssim_score(x: Array, x_hat: Array) -> Array:
    """Similarity (B,) of ``x_hat`` and ``x``, both (B, 3, H, W) RGB in [0, 1]: 1 where equal, at least 0.

    Symmetric. Sides must be at least `MIN_SIDE`; of an odd one, the last samples are halved alone.
    """
    kernels = kernels_of(x)
    x = kernels.at_least_float32(x)
    with kernels.full_precision(x):
        return _product_of_scales((x, kernels.like(x_hat, x)), 1.0, x.shape[-2])


def measure_ms_ssim(x: Array, x_hat: Array) -> float:
    """`ms_ssim_score`, without gradients, of two (1, 3, H, W) uint8 pictures, computed strip by strip."""
    rows = strip_rows(x.shape[-1])
    with kernels_of(x).without_gradients():
        return float(_product_of_scales((x, x_hat), 255.0, rows)[0])


def _product_of_scales(pictures: Pair, peak: float, strip: int) -> Array:
    """Of pictures in [0, ``peak``]; in strips of so many rows, an even number or all."""
    kernels = kernels_of(pictures[0])
    factors = []
    for scale, exponent in enumerate(_EXPONENTS, 1):
        (similarity, structure), pictures = _measure_scale(pictures, peak, strip)
        # Luminance counts at the coarsest scale alone.
        mean = similarity if scale == len(_EXPONENTS) else structure
        factors.append(kernels.xp.clip(mean, _TINY, None) ** exponent)
        peak = 1.0
    product: Array = math.prod(factors)
    return product.mean(-1)


def _measure_scale(pictures: Pair, peak: float, strip: int) -> tuple[Array, Pair]:
    """Means (2, B, C) of the similarities of a scale, and both pictures, in [0, 1], at the next."""
    kernels = kernels_of(pictures[0])
    xp = kernels.xp
    height, width = (side - 2 * WINDOW_RADIUS for side in pictures[0].shape[-2:])
    sums, halves = [], []
    for top in range(0, height + 2 * WINDOW_RADIUS, strip):
        bottom = top + strip + 2 * WINDOW_RADIUS
        x, y = (_to_planes(p[..., top:bottom, :], peak) for p in pictures)
        if top < height:
            sums.append(xp.stack(_similarities(x, y)).sum((-2, -1)))
        inner = (rows[..., :strip, :] for rows in (x, y))
        halves.append([kernels.like(kernels.average(rows, 2), x) for rows in inner])
    x, y = (xp.concatenate(parts, -2) for parts in zip(*halves, strict=True))
    return xp.stack(sums).sum(0) / (height * width), (x, y)


def _to_planes(pixels: Array, peak: float) -> Array:
    """In [0, 1], and plane by plane in memory: NumPy multiplies matrices slowly whose samples are apart."""
    batch, channels, height, width = pixels.shape
    rows = kernels_of(pixels).at_least_float32(pixels.reshape(batch, channels * height, width))
    return rows.reshape(pixels.shape) / peak


def _similarities(x: Array, y: Array) -> Pair:
    """SSIM of each sample, and its part of contrast and structure."""
    mean_x, mean_y, variances, covariance = local_statistics(x, y)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return luminance * structure, structure
