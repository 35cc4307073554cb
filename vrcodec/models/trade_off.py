"""The Lagrange multiplier, bits against distortion, that a rate in [0, 1] stands for."""

from __future__ import annotations

from torch import Tensor

LAMBDA_MIN = 0.0006
LAMBDA_MAX = 0.24


def rate_to_lambda(rate: Tensor) -> Tensor:
    """lambda(r) = lambda_min * (lambda_max / lambda_min)^r, r in [0, 1]."""
    return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** rate
