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
from vrcodec.models.hyperprior import Gains, HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import StepCoder
from vrcodec.models.networks.gains import KNOTS, interpolate_gains
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

    def gains(self, rate: Tensor) -> Gains:
        return Gains(
            rate,
            interpolate_gains(self.log_gain, rate),
            interpolate_gains(self.log_inverse_gain, rate),
            interpolate_gains(self.log_hyper_gain, rate),
            interpolate_gains(self.log_hyper_inverse_gain, rate),
        )

    def hyper_input(self, y: Tensor, gains: Gains) -> Tensor:
        return y * gains.gain.to(y)

    @torch.no_grad()
    def initialise_scales(self, log2_scales: Tensor) -> None:
        output = self.hyper_synthesis_net[-1]
        assert isinstance(output, Pointwise)
        # At first means hardly depend on z; scales may.
        output.weight[: len(log2_scales)] *= 0.1
        output.bias.copy_(torch.cat((torch.zeros_like(log2_scales), log2_scales)))

    def code_block(self, features: Tensor, gains: Gains, code_step: StepCoder) -> Tensor:
        """One step for all samples: mean and scale live in the scaled domain."""
        mean, log2_scale = at_least_float32(features).flatten(2).chunk(2, dim=1)
        residual = code_step(mean, log2_scale, lambda y: y.flatten(2))
        y_hat = (residual + mean).reshape(*mean.shape[:2], *features.shape[-2:])
        return y_hat * gains.inverse_gain
