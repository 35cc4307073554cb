"""The likelihood of symbols by a `LogisticMixture`, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.kernels.clamping import clamp_with_gradient
from vrcodec.models.coding.mixture import COMPONENTS, LogisticMixture
from vrcodec.models.learning.likelihoods import LIKELIHOOD_FLOOR


def mixture_likelihood(mixture: LogisticMixture, scaled: Tensor, gain: Tensor) -> Tensor:
    """Likelihood of symbols or noisy values ``scaled`` (B, C, n) of y * ``gain`` (B, C, 1)."""
    value = scaled.float()
    probability = interval_probability(mixture, (value - 0.5) / gain, (value + 0.5) / gain)
    return clamp_with_gradient(probability, LIKELIHOOD_FLOOR, 1.0)


def interval_probability(mixture: LogisticMixture, low: Tensor, high: Tensor) -> Tensor:
    """P(low < X < high) for (B, C, n), in float32."""
    total = torch.zeros_like(low)
    weights = mixture.weights()
    for k in range(COMPONENTS):
        inverse = torch.exp(-mixture.log_scales[:, k, None])
        a = (low - mixture.means[:, k, None]) * inverse
        b = (high - mixture.means[:, k, None]) * inverse
        # Differences keep their precision where the sigmoid is small.
        sign = torch.where(a + b > 0, -1.0, 1.0)
        component = (torch.sigmoid(sign * b) - torch.sigmoid(sign * a)).abs()
        total = total + weights[:, k, None] * component
    return total
