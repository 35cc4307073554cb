"""SSIMULACRA 2 of arrays of NumPy or of PyTorch, there with gradients: for training, the search, and measuring.

Sneyers, "SSIMULACRA 2" (Cloudinary, 2022): structural similarity and two measures of edges in the XYB colour
space, at six scales. Constants, weights and the treatment of borders are those of its C++ source,
https://github.com/cloudinary/ssimulacra2 (BSD-3-Clause), as the Python package `ssimulacra2` has them; scores
agree with that package (tested).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.metrics.gaussian_window import WINDOW_RADIUS, local_statistics
from vrcodec.metrics.strips import strip_rows

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
_C2 = 0.0009
# Keeps roots of nothing, and of next to nothing, from having an infinite gradient.
_TINY = 1e-30
_MIN_ERROR = 1e-3

Pair = tuple[Array, Array]

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


def ssimulacra2_score(x: Array, x_hat: Array) -> Array:
    """Scores (B,) of ``x_hat`` against its original ``x``, both (B, 3, H, W) sRGB in [0, 1]: 100 where equal.

    90 is hard to tell from the original, 70 high, 50 medium, 10 low quality; worse ones fall below zero,
    without a bound. Not symmetric. Gradients with respect to ``x_hat`` are finite everywhere, and zero where it
    leaves [0, 1]. Sides must be at least `MIN_SIDE`.
    """
    return score_from_error(ssimulacra2_error(x, x_hat))


def ssimulacra2_error(x: Array, x_hat: Array) -> Array:
    """The sum of the weighted error terms, (B,), from 0; in the type of the pictures under autocast, too."""
    # Even in float32 flat areas seem to differ by rounding: a tenth of a point where pictures are nearly equal.
    kernels = kernels_of(x)
    x = kernels.at_least_float32(x)
    with kernels.full_precision(x):
        return _sum_of_errors(x, kernels.like(x_hat, x), 1.0, x.shape[-2])


def measure_ssimulacra2(x: Array, x_hat: Array) -> float:
    """`ssimulacra2_score`, without gradients, of two (1, 3, H, W) uint8 pictures, computed strip by strip.

    Takes some 14 bytes a pixel beside the pictures (PyTorch 20), and up to 100 MB; whole, 360 bytes a pixel.
    """
    rows = strip_rows(x.shape[-1])
    with kernels_of(x).without_gradients():
        return float(score_from_error(_sum_of_errors(x, x_hat, 255.0, rows))[0])


def _sum_of_errors(x: Array, x_hat: Array, peak: float, strip: int) -> Array:
    """Of pictures in [0, ``peak``]; in strips of so many rows, an even number or all."""
    xp = kernels_of(x).xp
    pictures = (x, x_hat)
    to_linear: Callable[[Array], Array] = partial(_to_linear, peak=peak)
    terms: list[Array] = []
    while len(terms) < SCALES and min(pictures[0].shape[-2:]) >= MIN_SIDE:
        of_scale, pictures = _measure_scale(pictures, to_linear, strip)
        terms.append(of_scale)
        to_linear = _same
    # (B, channel, scale, term). With fewer scales the list of weights is cut off, as in the C++ source.
    stacked = xp.stack(terms, 2).reshape(len(x), -1)
    weights = _constants(_WEIGHTS, stacked).reshape(-1)
    return stacked @ weights[: stacked.shape[1]]


def score_from_error(error: Array) -> Array:
    """Scores of sums of weighted error terms."""
    xp = kernels_of(error).xp
    scaled = _FACTOR * error
    linear, square, cubic = _CUBIC
    total = scaled * (linear + scaled * (square + scaled * cubic))
    # Without the floor, the gradient of nearly equal pictures would be infinite.
    score = 100 - 10 * xp.clip(total, _MIN_ERROR, None) ** _EXPONENT
    return xp.where(total > _MIN_ERROR, score, 100.0)


def _constants(values: object, like: Array) -> Array:
    kernels = kernels_of(like)
    return kernels.like(kernels.array(np.asarray(values)), like)


def _same(linear: Array) -> Array:
    return linear


def _to_linear(picture: Array, peak: float) -> Array:
    kernels = kernels_of(picture)
    curve = kernels.xp.clip(kernels.at_least_float32(picture) / peak, 0, 1)
    return kernels.xp.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)


def _to_xyb(linear: Array) -> Array:
    """XYB (B, 3, H, W), shifted to be positive, of linear light (B, 3, H, W)."""
    mixed = _constants(_OPSIN, linear) @ linear.reshape(*linear.shape[:2], -1) + _OPSIN_BIAS
    cones = mixed.reshape(linear.shape) ** (1 / 3) - _OPSIN_BIAS ** (1 / 3)
    left, middle, blue = cones[:, 0], cones[:, 1], cones[:, 2]
    luma = 0.5 * (left + middle)
    return kernels_of(linear).xp.stack(
        (7 * (left - middle) + 0.42, luma + 0.01, blue - luma + 0.55), 1
    )


def _measure_scale(
    pictures: Pair, to_linear: Callable[[Array], Array], strip: int
) -> tuple[Array, Pair]:
    """Error terms (B, channel, 6) of the second picture against the first; both at the next scale, linear."""
    kernels = kernels_of(pictures[0])
    xp = kernels.xp
    height, width = pictures[0].shape[-2:]
    sums, halves = [], []
    for top in range(0, height, strip):
        bottom = min(top + strip, height)
        linear = [to_linear(_rows_around(picture, top, bottom)) for picture in pictures]
        errors = _errors(*map(_to_xyb, linear))
        squares = errors * errors
        sums.append(xp.stack((errors.sum(3), (squares * squares).sum(3))))
        inner = (rows[..., WINDOW_RADIUS:-WINDOW_RADIUS, :] for rows in linear)
        halves.append([kernels.like(kernels.average(rows, 2), errors) for rows in inner])
    means, fourths = xp.stack(sums).sum(0) / (height * width)
    x, x_hat = (xp.concatenate(parts, -2) for parts in zip(*halves, strict=True))
    return xp.concatenate((means, (fourths + _TINY) ** 0.25), 2), (x, x_hat)


def _rows_around(picture: Array, top: int, bottom: int) -> Array:
    """Rows ``top`` to ``bottom`` with `WINDOW_RADIUS` more on both sides, which are mirrored at the borders."""
    xp, height = kernels_of(picture).xp, picture.shape[-2]
    above, below = max(WINDOW_RADIUS - top, 0), max(bottom + WINDOW_RADIUS - height, 0)
    parts = (
        xp.flip(picture[..., :above, :], (-2,)),
        picture[..., max(top - WINDOW_RADIUS, 0) : bottom + WINDOW_RADIUS, :],
        xp.flip(picture[..., height - below :, :], (-2,)),
    )
    return xp.concatenate(parts, -2)


def _errors(x: Array, y: Array) -> Array:
    """Errors (B, channel, 3, pixels) of a distorted ``y`` against ``x``: structure, new edges, lost edges.

    Both are XYB (B, 3, H + 2 `WINDOW_RADIUS`, W): the first and last rows are only seen by the blur.
    """
    xp = kernels_of(x).xp
    mean_x, mean_y, variances, covariance = local_statistics(x, y, zeros_beside=WINDOW_RADIUS)
    x, y = (picture[..., WINDOW_RADIUS:-WINDOW_RADIUS, :] for picture in (x, y))
    structure = (2 * covariance + _C2) / (variances + _C2)
    difference = mean_x - mean_y
    dissimilarity = 1 - (1 - difference * difference) * structure
    edges = (1 + abs(y - mean_y)) / (1 + abs(x - mean_x)) - 1
    errors = xp.clip(xp.stack((dissimilarity, edges, -edges), 2), 0, None)
    return errors.reshape(*errors.shape[:3], -1)
