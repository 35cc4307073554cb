"""`gained`: gain units (Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate
Adaptation", CVPR 2021) on a mean-scale hyperprior.

Per-channel gain vectors scale the latents before rounding, and vectors learned apart scale them back:
y_q = round(y * g(r) - mu), y_hat = (y_q + mu) * ig(r); a second pair does the same to z. Mean and
scale live in the scaled domain, and h_a sees the scaled y. Differences from the paper: the backbone is
ours; logarithms of the vectors are learned, so that a gain cannot change sign; there are 8 knots over
the continuous rate; the entropy model is the symmetric Gaussian; and encoders round with a dead zone.
"""

from __future__ import annotations

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import register
from vrcodec.models.hyperprior import Gains, HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import StepCoder
from vrcodec.models.networks.gains import KNOTS, initial_ramp, interpolate_gains
from vrcodec.models.networks.module import parameter

# Gains span exp(-1.5) .. exp(1.5) at first: a factor of 20, the square root of lambda's range.
_SPREAD = 1.5


@register
class Gained(HyperpriorModel):
    """Gain units on the shared backbone."""

    family = "gained"
    method = 1

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.log_gain = parameter(initial_ramp(_SPREAD, size.latent))
        self.log_inverse_gain = parameter(-initial_ramp(_SPREAD, size.latent))
        self.log_hyper_gain = parameter(np.zeros((KNOTS, size.hyper), np.float32))
        self.log_hyper_inverse_gain = parameter(np.zeros((KNOTS, size.hyper), np.float32))

    def gains(self, rate: Array) -> Gains:
        return Gains(
            rate,
            interpolate_gains(self.log_gain, rate),
            interpolate_gains(self.log_inverse_gain, rate),
            interpolate_gains(self.log_hyper_gain, rate),
            interpolate_gains(self.log_hyper_inverse_gain, rate),
        )

    def hyper_input(self, y: Array, gains: Gains) -> Array:
        return y * kernels_of(y).like(gains.gain, y)

    def code_block(self, features: Array, gains: Gains, code_step: StepCoder) -> Array:
        """One step for all samples: mean and scale live in the scaled domain."""
        parameters = flatten_samples(kernels_of(features).at_least_float32(features))
        half = parameters.shape[1] // 2
        mean, log2_scale = parameters[:, :half], parameters[:, half:]
        residual = code_step(mean, log2_scale, flatten_samples)
        y_hat = (residual + mean).reshape(*mean.shape[:2], *features.shape[-2:])
        return y_hat * gains.inverse_gain


def flatten_samples(y: Array) -> Array:
    """(B, C, h, w) -> (B, C, n): all samples."""
    return y.reshape(*y.shape[:2], -1)
