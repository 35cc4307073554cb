"""A mixture of logistic densities for each channel, cheap enough for a latent as large as y.

Like the density of Balle et al. 2018, appendix 6.1, it is learned; unlike that one it is a formula. It
describes y before the gain; a symbol is an interval of y * gain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vrcodec.models.coding.entropy import LIKELIHOOD_FLOOR
from vrcodec.models.networks.layers import clamp_with_gradient

COMPONENTS = 3
# Initial range of the logarithms of the components' scales, on each side.
_INITIAL_SPREAD = 1.5


class LogisticMixture(nn.Module):
    """Weights, means and scales of the components, (C, K), as logits, numbers and logarithms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.means = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.log_scales = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.initialise(torch.zeros(channels), torch.ones(channels))

    @torch.no_grad()
    def initialise(self, means: Tensor, deviations: Tensor) -> None:
        """Begin at these means and standard deviations, (C,): a narrow, a usual and a wide component."""
        spread = torch.linspace(-_INITIAL_SPREAD, _INITIAL_SPREAD, COMPONENTS).to(deviations)
        scales = deviations * (math.sqrt(3) / math.pi) / (2 * spread).exp().mean().sqrt()
        self.means.copy_(means[:, None].expand_as(self.means))
        self.log_scales.copy_(scales.log()[:, None] + spread)

    def modes(self) -> Tensor:
        """Mode of each channel, (C,): the mean of the component with the highest peak."""
        highest = (self.logits - self.log_scales).argmax(dim=1, keepdim=True)
        return self.means.gather(1, highest)[:, 0]

    def mean(self) -> Tensor:
        """Mean of each channel, (C,)."""
        return (self.logits.softmax(dim=1) * self.means).sum(1)

    def standard_deviations(self) -> Tensor:
        """Standard deviation of each channel, (C,)."""
        # That of a logistic density of scale s is pi s / sqrt(3).
        second_moments = self.means.square() + (2 * self.log_scales).exp() * (math.pi**2 / 3)
        return ((self.logits.softmax(dim=1) * second_moments).sum(1) - self.mean().square()).sqrt()

    def likelihood(self, scaled: Tensor, gain: Tensor) -> Tensor:
        """Likelihood of symbols or noisy values ``scaled`` (B, C, n) of y * ``gain`` (B, C, 1)."""
        value = scaled.float()
        probability = self.interval_probability((value - 0.5) / gain, (value + 0.5) / gain)
        return clamp_with_gradient(probability, LIKELIHOOD_FLOOR, 1.0)

    def interval_probability(self, low: Tensor, high: Tensor) -> Tensor:
        """P(low < X < high) for (B, C, n), in float32."""
        total = torch.zeros_like(low)
        weights = self.logits.softmax(dim=1)
        for k in range(COMPONENTS):
            inverse = torch.exp(-self.log_scales[:, k, None])
            a = (low - self.means[:, k, None]) * inverse
            b = (high - self.means[:, k, None]) * inverse
            # Differences keep their precision where the sigmoid is small.
            sign = torch.where(a + b > 0, -1.0, 1.0)
            component = (torch.sigmoid(sign * b) - torch.sigmoid(sign * a)).abs()
            total = total + weights[:, k, None] * component
        return total
