"""A mixture of logistic densities for each channel, cheap enough for a latent as large as y.

Like the density of Balle et al. 2018, appendix 6.1, it is learned; unlike that one it is a formula. It
describes y before the gain; a symbol is an interval of y * gain. Its likelihood, in training:
`vrcodec.models.learning.mixture_likelihood`.
"""

from __future__ import annotations

import math

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.module import Module, parameter

COMPONENTS = 3
# Initial range of the logarithms of the components' scales, on each side.
_INITIAL_SPREAD = 1.5


class LogisticMixture(Module):
    """Weights, means and scales of the components, (C, K), as logits, numbers and logarithms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("logits", "means", "log_scales"):
            setattr(self, name, parameter(np.zeros((channels, COMPONENTS), np.float32)))
        self.initialise(np.zeros(channels, np.float32), np.ones(channels, np.float32))

    def initialise(self, means: Array, deviations: Array) -> None:
        """Begin at these means and standard deviations, (C,): a narrow, a usual and a wide component."""
        kernels = kernels_of(means)
        spread = np.linspace(-_INITIAL_SPREAD, _INITIAL_SPREAD, COMPONENTS, dtype=np.float32)
        wide = math.sqrt(float(np.exp(2 * spread).mean()))
        scales = deviations * (math.sqrt(3) / math.pi / wide)
        with kernels.without_gradients():
            self.means[:] = kernels.like(means, self.means)[:, None]
            log_scales = kernels.xp.log(scales)[:, None] + kernels.array(spread)
            self.log_scales[:] = log_scales

    def modes(self) -> Array:
        """Mode of each channel, (C,): the mean of the component with the highest peak."""
        highest = (self.logits - self.log_scales).argmax(1)[:, None]
        return kernels_of(self.means).take_along(self.means, highest)[:, 0]

    def weights(self) -> Array:
        """Weights of the components, (C, K)."""
        xp = kernels_of(self.logits).xp
        powers = xp.exp(self.logits - xp.amax(self.logits, 1)[:, None])
        return powers / powers.sum(1)[:, None]

    def mean(self) -> Array:
        """Mean of each channel, (C,)."""
        return (self.weights() * self.means).sum(1)

    def standard_deviations(self) -> Array:
        """Standard deviation of each channel, (C,)."""
        xp = kernels_of(self.means).xp
        # That of a logistic density of scale s is pi s / sqrt(3).
        second_moments = self.means**2 + xp.exp(2 * self.log_scales) * (math.pi**2 / 3)
        return xp.sqrt((self.weights() * second_moments).sum(1) - self.mean() ** 2)
