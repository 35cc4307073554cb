"""What a rate in [0, 1] stands for: how many bits less distortion is worth."""

from __future__ import annotations

from vrcodec.kernels import Array, kernels_of

LAMBDA_MIN = 0.0006
LAMBDA_MAX = 0.24


def rate_to_lambda(rate: Array) -> Array:
    """lambda(r) = lambda_min * (lambda_max / lambda_min)^r, r in [0, 1], or of steps beyond the rates."""
    return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** rate


# A distortion by SSIMULACRA 2 keeps so much of the squared error: that holds colours and flat areas, to which
# the score pays little attention.
_SQUARED_SHARE = 0.25
# Bits a pixel that a point is worth at rate 0, and the exponent of its growth with the rate: about as a squared
# error's, so that a rate means the same quality.
_POINT_WORTH, _POINT_WORTH_GROWTH = 0.0028, 4.83


def perceptual_distortion(squared: Array, score: Array, rate: Array) -> Array:
    """Distortion in bits a pixel, of ``squared``, lambda times squared error, and a SSIMULACRA 2 ``score``.

    ``rate``: in [0, 1]. All of one shape.
    """
    worth = _POINT_WORTH * kernels_of(rate).xp.exp(_POINT_WORTH_GROWTH * rate)
    return _SQUARED_SHARE * squared + (1 - _SQUARED_SHARE) * worth * (100 - score)
