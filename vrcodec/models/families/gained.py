"""`gained`: gain units (Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate
Adaptation", CVPR 2021) on a mean-scale hyperprior.

Per-channel gain vectors scale the latents before rounding, and vectors learned apart scale them back:
y_q = round(y * g(r) - mu), y_hat = (y_q + mu) * ig(r); a second pair does the same to z. Mean and
scale live in the scaled domain, and h_a sees the scaled y. Differences from the paper: the backbone is
ours; logarithms of the vectors are learned, so that a gain cannot change sign; there are 8 knots over
the continuous rate; the entropy model is the symmetric Gaussian; and encoders round with a dead zone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrcodec.models.base import register
from vrcodec.models.coding.hyperprior import Factors, HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import Exchange
from vrcodec.models.networks.gains import KNOTS, log_linear
from vrcodec.models.networks.layers import Pointwise, at_least_float32

# Gains span exp(-1.5) .. exp(1.5) at first: a factor of 20, the square root of lambda's range.
_SPREAD = 1.5


@register
class Gained(HyperpriorModel):
    """Gain units on the shared backbone."""

    family = "gained"
    method = 1

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        ramp = torch.linspace(-_SPREAD, _SPREAD, KNOTS).unsqueeze(1)
        self.log_gain = nn.Parameter(ramp.repeat(1, size.latent))
        self.log_inverse_gain = nn.Parameter(-ramp.repeat(1, size.latent))
        self.log_hyper_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))
        self.log_hyper_inverse_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))

    def factors(self, rate: Tensor) -> Factors:
        return Factors(
            rate,
            log_linear(self.log_gain, rate),
            log_linear(self.log_inverse_gain, rate),
            log_linear(self.log_hyper_gain, rate),
            log_linear(self.log_hyper_inverse_gain, rate),
        )

    def hyper_input(self, y: Tensor, factors: Factors) -> Tensor:
        return y * factors.gain.to(y)

    @torch.no_grad()
    def start_scales(self, log2_scales: Tensor) -> None:
        last = self.hyper_synthesis_net[-1]
        assert isinstance(last, Pointwise)
        # Means are to say little at first; scales may follow z.
        last.weight[: len(log2_scales)] *= 0.1
        last.bias.copy_(torch.cat((torch.zeros_like(log2_scales), log2_scales)))

    def code_block(self, features: Tensor, factors: Factors, exchange: Exchange) -> Tensor:
        """One step for all samples: mean and scale live in the scaled domain."""
        mean, log2_scale = at_least_float32(features).flatten(2).chunk(2, dim=1)
        residual = exchange(mean, log2_scale, lambda y: y.flatten(2))
        y_hat = (residual + mean).reshape(*mean.shape[:2], *features.shape[-2:])
        return y_hat * factors.inverse_gain
