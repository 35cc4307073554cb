"""`gained`: gain units (Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate
Adaptation", CVPR 2021) on a mean-scale hyperprior.

Per-channel gain vectors scale the latents before rounding, and vectors learned apart scale them back:
y_q = round(y * g(r) - mu), y_hat = (y_q + mu) * ig(r); a second pair does the same to z. Mean and
scale live in the scaled domain, and h_a sees the scaled y. Differences from the paper: the backbone is
ours; logarithms of the vectors are learned, so that a gain cannot change sign; there are 8 knots over
the continuous rate; and the entropy model is the symmetric Gaussian.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrcodec.models.backbone import BackboneSize
from vrcodec.models.base import register
from vrcodec.models.gains import as_channels, interpolate_knots
from vrcodec.models.hyperprior import HyperpriorModel, Scaling
from vrcodec.rate import rate_from_code

KNOTS = 8
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

    def scaling(self, rate: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return (
            _factors(self.log_gain, rate),
            _factors(self.log_inverse_gain, rate),
            _factors(self.log_hyper_gain, rate),
            _factors(self.log_hyper_inverse_gain, rate),
        )

    def rate_state(self, code: int) -> Scaling:
        rate = torch.tensor([rate_from_code(code)], dtype=torch.float64)
        with torch.no_grad():
            return Scaling(code, *self.scaling(rate))


def _factors(log_knots: Tensor, rate: Tensor) -> Tensor:
    return as_channels(interpolate_knots(log_knots.to(rate.device, rate.dtype), rate).exp())
