"""A density for each channel, cheap enough for a latent as large as y: a mixture of logistic ones.

Like the density of Balle et al. 2018, appendix 6.1, it is learned; unlike that one it is a formula. It
describes y before the gain; a symbol is an interval of y * gain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vrcodec.models.coding.entropy import LIKELIHOOD_FLOOR
from vrcodec.models.networks.layers import bounded

COMPONENTS = 3
# How far apart, in the logarithm of scales, components are at first.
_START_SPREAD = 1.5


class LogisticMixture(nn.Module):
    """Weights, means and scales of the components, (C, K), as logits, numbers and logarithms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.means = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.log_scales = nn.Parameter(torch.zeros(channels, COMPONENTS))
        self.start(torch.zeros(channels), torch.ones(channels))

    @torch.no_grad()
    def start(self, means: Tensor, deviations: Tensor) -> None:
        """Begin at these means and standard deviations, (C,): a narrow, a usual and a wide component."""
        spread = torch.linspace(-_START_SPREAD, _START_SPREAD, COMPONENTS).to(deviations)
        scales = deviations * (math.sqrt(3) / math.pi) / (2 * spread).exp().mean().sqrt()
        self.means.copy_(means[:, None].expand_as(self.means))
        self.log_scales.copy_(scales.log()[:, None] + spread)

    def centres(self) -> Tensor:
        """Where each channel has its peak, (C,): the mean of the component that is highest there."""
        highest = (self.logits - self.log_scales).argmax(dim=1, keepdim=True)
        return self.means.gather(1, highest)[:, 0]

    def mean(self) -> Tensor:
        """Of each channel, (C,)."""
        return (self.logits.softmax(dim=1) * self.means).sum(1)

    def deviations(self) -> Tensor:
        """Standard deviation of each channel, (C,)."""
        # Of a logistic density of scale s it is pi s / sqrt(3).
        square = self.means.square() + (2 * self.log_scales).exp() * (math.pi**2 / 3)
        return ((self.logits.softmax(dim=1) * square).sum(1) - self.mean().square()).sqrt()

    def likelihood(self, scaled: Tensor, gain: Tensor) -> Tensor:
        """Of symbols or noisy values ``scaled`` (B, C, n) of y * ``gain`` (B, C, 1)."""
        value = scaled.float()
        found = self.between((value - 0.5) / gain, (value + 0.5) / gain)
        return bounded(found, LIKELIHOOD_FLOOR, 1.0)

    def between(self, low: Tensor, high: Tensor) -> Tensor:
        """P(low < X < high) for (B, C, n), in float32."""
        total = torch.zeros_like(low)
        weights = self.logits.softmax(dim=1)
        for k in range(COMPONENTS):
            inverse = torch.exp(-self.log_scales[:, k, None])
            a = (low - self.means[:, k, None]) * inverse
            b = (high - self.means[:, k, None]) * inverse
            # On the side where the sigmoid is small, differences keep their precision.
            sign = torch.where(a + b > 0, -1.0, 1.0)
            part = (torch.sigmoid(sign * b) - torch.sigmoid(sign * a)).abs()
            total = total + weights[:, k, None] * part
        return total
