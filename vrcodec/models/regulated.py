"""Base of the families with a hyperprior and a quantisation regulator (`networks.regulator`).

One number a(r) for all channels of y: q = round((y - mu) a(r)), y_hat = q / a(r) + mu, and networks see y
unscaled. z has per-channel gains, as in `gained`: at the lowest rate a fixed precision would cost a twentieth
of the file. The synthesis knows the rate by a factor for each channel: the coarser the step, the closer to
zero lie the values of a bin.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import RateParameters
from vrcodec.models.hyperprior import GainParameters, Gains, HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import Pick, StepCoder
from vrcodec.models.networks.gains import KNOTS, interpolate_gains
from vrcodec.models.networks.module import parameter
from vrcodec.models.networks.regulator import Regulator, dequantise
from vrcodec.models.trade_off import LAMBDA_MAX, LAMBDA_MIN
from vrcodec.rate import BIN_CODE_OCTAVE, RATE_CODE_MAX, bin_size_from_code, rate_from_code


class RegulatedModel(HyperpriorModel):
    """Quantisation regulator, gains of z, and restoration."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.regulator = Regulator()
        self.log_restoration = parameter(np.zeros((KNOTS, size.latent), np.float32))
        self.log_hyper_gain = parameter(np.zeros((KNOTS, size.hyper), np.float32))
        self.log_hyper_inverse_gain = parameter(np.zeros((KNOTS, size.hyper), np.float32))

    def gains(self, rate: Array) -> Gains:
        xp = kernels_of(rate).xp
        log2_a = self.regulator.log2_scale(rate)
        return Gains(
            rate,
            xp.exp2(log2_a),
            xp.exp2(-log2_a),
            interpolate_gains(self.log_hyper_gain, rate),
            interpolate_gains(self.log_hyper_inverse_gain, rate),
        )

    def with_bin_size(self, rate: RateParameters, bin_code: int) -> RateParameters:
        """``rate`` with the quantisation step of ``bin_code``."""
        assert isinstance(rate, GainParameters)
        step = 0 * rate.gains.gain + bin_size_from_code(bin_code)
        return replace(rate, gains=replace(rate.gains, gain=1 / step, inverse_gain=step))

    def trade_off_levels(self, gains: Gains) -> Array:
        """With steps coarser than the rate's own, lambda falls with the square of a, as it does over the rates.

        With finer ones it stays: they bring the networks less than their bits would be worth by that rule.
        """
        xp = kernels_of(gains.gain).xp
        log2_ratio = xp.log2(gains.gain) - self.regulator.log2_scale(gains.rate)
        change = 2 * log2_ratio.reshape(-1) / math.log2(LAMBDA_MAX / LAMBDA_MIN)
        return gains.rate + xp.clip(change, -1.0, 0.0)

    def bin_code_at(self, code: int) -> int:
        return round(self._exact_bin_code(code))

    def rate_code_for_bin_size(self, bin_code: int) -> int:
        """By bisection: the step shrinks as the rate rises."""
        low, high = 0, RATE_CODE_MAX
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if self._has_coarser_step(middle, bin_code) else (low, middle)
            )
        return high if self._has_coarser_step(low, bin_code) else low

    def _has_coarser_step(self, code: int, bin_code: int) -> bool:
        return self._exact_bin_code(code) > bin_code

    def _exact_bin_code(self, code: int) -> float:
        log2_a = self.regulator.log2_scale(self.rate_value(rate_from_code(code)))
        return -float(log2_a.reshape(())) * BIN_CODE_OCTAVE

    def hyper_input(self, y: Array, gains: Gains) -> Array:
        return y

    def regulate(self, code_step: StepCoder, gains: Gains) -> StepCoder:
        """``code_step`` with the regulator between the prior and it: returns y_hat in place of symbols."""
        xp = kernels_of(gains.gain).xp
        log2_a = xp.log2(gains.gain)[..., 0]

        def regulated(mean: Array, log2_scale: Array, pick: Pick) -> Array:
            symbols = code_step(mean * xp.exp2(log2_a), log2_scale + log2_a, pick)
            return dequantise(symbols, mean, log2_a)

        return regulated

    def restore(self, y_hat: Array, gains: Gains) -> Array:
        """Scale the decoded ``y_hat`` (B, M, h, w) for the synthesis, by channel and rate."""
        return y_hat * interpolate_gains(self.log_restoration, gains.rate)
