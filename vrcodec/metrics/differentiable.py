"""SSIMULACRA 2 in PyTorch, with gradients: for training, for the search at the encoder, and fast for measuring.

Sneyers, "SSIMULACRA 2" (Cloudinary, 2022): structural similarity and two measures of edges in the XYB colour
space, at six scales. Constants, weights and the treatment of borders are those of its C++ source,
https://github.com/cloudinary/ssimulacra2 (BSD-3-Clause), as the Python package `ssimulacra2` has them; scores
agree with that package (tested).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 6
# A scale with a shorter side is left out.
MIN_SIDE = 8

# Absorbance of the cones for linear red, green and blue, and what is added to it (libjxl, opsin_params.h).
_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_OPSIN_BIAS = 0.0037930732552754493
_SIGMA = 1.5
_RADIUS = 5
_C2 = 0.0009
# Keeps roots of nothing, and of next to nothing, from having an infinite gradient.
_TINY = 1e-30
_MIN_ERROR = 1e-3
# A row of samples is blurred by one product with a band matrix; a longer one than the first, block by block.
_LONGEST_BLOCK = 256
_BLOCK = 64

# Weights of the error terms, by channel (X, Y, B - Y) and scale: the means of structural dissimilarity, of new
# edges and of lost edges, then the 4-norms of the same.
_WEIGHTS = (
    (
        (0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0),
        (
            0.0,
            0.0004371155730107379,
            0.0,
            1.1041726426657346,
            0.00066284834129271,
            0.00015231632783718752,
        ),
        (0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0),
        (
            0.0007989109436015163,
            0.000176816438078653,
            0.0,
            1.8787594979546387,
            10.94906990605142,
            0.0,
        ),
        (
            0.0007289346991508072,
            0.9677937080626833,
            0.0,
            0.00014003424285435884,
            0.9981766977854967,
            0.00031949755934435053,
        ),
        (0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0),
    ),
    (
        (0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262),
        (
            0.0006235601634041466,
            0.0,
            0.0,
            6.683678146179332,
            0.00037724407979611296,
            1.027889937768264,
        ),
        (
            225.20515300849274,
            0.0,
            0.0,
            19.213238186143016,
            0.0011401524586618361,
            0.001237755635509985,
        ),
        (
            176.39317598450694,
            0.0,
            0.0,
            24.43300999870476,
            0.28520802612117757,
            0.0004485436923833408,
        ),
        (0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    (
        (0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0),
        (0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0),
        (
            95.1080498811086,
            0.9863978034400682,
            0.9834382792465353,
            0.0012286405048278493,
            171.2667255897307,
            0.9807858872435379,
        ),
        (0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537),
    ),
)
# From the sum of the weighted terms to the score.
_FACTOR = 0.9562382616834844
_CUBIC = (2.326765642916932, -0.020884521182843837, 6.248496625763138e-05)
_EXPONENT = 0.6276336467831387


def ssimulacra2_score(x: Tensor, x_hat: Tensor) -> Tensor:
    """Scores (B,) of ``x_hat`` against its original ``x``, both (B, 3, H, W) sRGB in [0, 1]: 100 where equal.

    90 is hard to tell from the original, 70 high, 50 medium, 10 low quality; worse ones fall below zero,
    without a bound. Not symmetric. Gradients with respect to ``x_hat`` are finite everywhere, and zero where it
    leaves [0, 1]. Sides must be at least `MIN_SIDE`.
    """
    return score_from_error(ssimulacra2_error(x, x_hat))


def ssimulacra2_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """The sum of the weighted error terms, (B,), from 0; in the type of the pictures under autocast, too."""
    # Even in float32 flat areas seem to differ by rounding: a tenth of a point where pictures are nearly equal.
    dtype = torch.promote_types(torch.promote_types(x.dtype, x_hat.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        return _sum_of_errors(x.to(dtype), x_hat.to(dtype))


def _sum_of_errors(x: Tensor, x_hat: Tensor) -> Tensor:
    linear = [_to_linear(picture.clamp(0, 1)) for picture in (x, x_hat)]
    terms: list[Tensor] = []
    while len(terms) < SCALES and min(linear[0].shape[-2:]) >= MIN_SIDE:
        terms.append(_scale_terms(*map(_to_xyb, linear)))
        linear = [_halve(picture) for picture in linear]
    # (B, channel, scale, term). With fewer scales the list of weights is cut off, as in the C++ source.
    stacked = torch.stack(terms, dim=2).flatten(1)
    weights = torch.tensor(_WEIGHTS, dtype=stacked.dtype, device=stacked.device).flatten()
    return stacked @ weights[: stacked.shape[1]]


def score_from_error(error: Tensor) -> Tensor:
    """Scores of sums of weighted error terms."""
    scaled = _FACTOR * error
    linear, square, cubic = _CUBIC
    total = scaled * (linear + scaled * (square + scaled * cubic))
    # Without the floor, the gradient of nearly equal pictures would be infinite.
    score = 100 - 10 * total.clamp_min(_MIN_ERROR).pow(_EXPONENT)
    return torch.where(total > _MIN_ERROR, score, 100.0)


def _to_linear(picture: Tensor) -> Tensor:
    curved = ((picture + 0.055) / 1.055).pow(2.4)
    return torch.where(picture <= 0.04045, picture / 12.92, curved)


def _to_xyb(linear: Tensor) -> Tensor:
    """XYB (B, 3, H, W), shifted to be positive, of linear light (B, 3, H, W)."""
    matrix = torch.tensor(_OPSIN, dtype=linear.dtype, device=linear.device)
    mixed = F.conv2d(linear, matrix[:, :, None, None]) + _OPSIN_BIAS
    left, middle, blue = (mixed.pow(1 / 3) - _OPSIN_BIAS ** (1 / 3)).unbind(1)
    luma = 0.5 * (left + middle)
    return torch.stack((7 * (left - middle) + 0.42, luma + 0.01, blue - luma + 0.55), dim=1)


def _halve(picture: Tensor) -> Tensor:
    """Means of 2x2 samples; of those that there are, at the far borders."""
    return F.avg_pool2d(picture, 2, ceil_mode=True, count_include_pad=False)


def _scale_terms(x: Tensor, y: Tensor) -> Tensor:
    """Error terms (B, channel, 6) of a distorted ``y`` against ``x``, both XYB (B, 3, H, W)."""
    mean_x, square_x = _blur(torch.stack((x, x * x)))
    mean_y, square_y, product = _blur(torch.stack((y, y * y, x * y)))
    structure = 2 * (product - mean_x * mean_y) + _C2
    variances = square_x - mean_x.square() + square_y - mean_y.square() + _C2
    dissimilarity = 1 - (1 - (mean_x - mean_y).square()) * structure / variances
    edges = (1 + (y - mean_y).abs()) / (1 + (x - mean_x).abs()) - 1
    errors = torch.stack((dissimilarity, edges, -edges), dim=2).clamp_min(0).flatten(3)
    norms = (errors.pow(4).mean(3) + _TINY).pow(0.25)
    return torch.cat((errors.mean(3), norms), dim=2)


def _blur(planes: Tensor) -> Tensor:
    """Gaussian of `_SIGMA`: mirrored above and below, as if there were zeros on the left and right.

    As products of matrices: several times as fast as grouped convolutions.
    """
    turned = planes.mT
    first, last = turned[..., :_RADIUS].flip(-1), turned[..., -_RADIUS:].flip(-1)
    turned = _convolve(torch.cat((first, turned, last), dim=-1))
    return _convolve(F.pad(turned.mT, (_RADIUS, _RADIUS)))


def _convolve(rows: Tensor) -> Tensor:
    """The Gaussian along the last axis, which gets shorter by `_RADIUS` on both sides."""
    size = rows.shape[-1] - 2 * _RADIUS
    block = size if size <= _LONGEST_BLOCK else _BLOCK
    windows = rows
    if block < size:
        windows = F.pad(rows, (0, -size % block)).unfold(-1, block + 2 * _RADIUS, block)
    blurred = windows.reshape(-1, block + 2 * _RADIUS) @ _band(block, rows)
    return blurred.view(*rows.shape[:-1], -1)[..., :size]


def _band(block: int, like: Tensor) -> Tensor:
    """A matrix (block + 2 radius, block) whose columns are the Gaussian, each shifted by one."""
    shift = torch.arange(block + 2 * _RADIUS)[:, None] - torch.arange(block) - _RADIUS
    kernel = torch.exp(-0.5 * (shift / _SIGMA).double().square()) * (shift.abs() <= _RADIUS)
    return (kernel / kernel.sum(0)).to(like)
