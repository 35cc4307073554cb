"""`qvrf`: a quantisation regulator (Tong et al., "QVRF: A Quantization-error-aware Variable Rate Framework
for Learned Image Compression", ICIP 2023) with a parallel context model.

One number a(r) for all channels of y: q = round((y - mu) a(r)), y_hat = q / a(r) + mu, and networks see y
unscaled (`networks.regulator`). Differences from the paper: the backbone is ours; the context model is
parallel (`networks.context`) instead of serial; it also knows the rate, by a bias for each group,
because the precision of y_hat depends on it; and so does the synthesis, by a factor for each channel: the
coarser the step, the closer to zero lie the values of a bin. z has per-channel gains, as in `gained`: at
the lowest rate a fixed precision would cost a twentieth of the file.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vrcodec.models.base import RateParameters, register
from vrcodec.models.hyperprior import GainParameters, Gains, HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import ParallelContext, Pick, StepCoder
from vrcodec.models.networks.gains import KNOTS, interpolate_gains
from vrcodec.models.networks.regulator import Regulator, dequantise
from vrcodec.rate import BIN_CODE_OCTAVE, RATE_CODE_MAX, bin_size_from_code, rate_from_code


@register
class Qvrf(HyperpriorModel):
    """Quantisation regulator and parallel context on the shared backbone."""

    family = "qvrf"
    method = 2
    exact_modules = ("hyper_synthesis_net", "context")

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.regulator = Regulator()
        self.context = ParallelContext(size.prior, size.groups, size.context)
        self.log_restoration = nn.Parameter(torch.zeros(KNOTS, size.latent))
        self.log_hyper_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))
        self.log_hyper_inverse_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))

    def gains(self, rate: Tensor) -> Gains:
        log2_a = self.regulator.log2_scale(rate)
        return Gains(
            rate,
            torch.exp2(log2_a),
            torch.exp2(-log2_a),
            interpolate_gains(self.log_hyper_gain, rate),
            interpolate_gains(self.log_hyper_inverse_gain, rate),
        )

    def with_bin_size(self, rate: RateParameters, bin_code: int) -> RateParameters:
        """``rate`` with the quantisation step of ``bin_code``."""
        assert isinstance(rate, GainParameters)
        step = torch.full_like(rate.gains.gain, bin_size_from_code(bin_code))
        return replace(rate, gains=replace(rate.gains, gain=1 / step, inverse_gain=step))

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
        rate = torch.tensor([rate_from_code(code)], dtype=torch.float64)
        return -float(self.regulator.log2_scale(rate)) > bin_code / BIN_CODE_OCTAVE

    def hyper_input(self, y: Tensor, gains: Gains) -> Tensor:
        return y

    def initialise_scales(self, log2_scales: Tensor) -> None:
        self.context.initialise_scales(log2_scales)

    def code_block(self, features: Tensor, gains: Gains, code_step: StepCoder) -> Tensor:
        """The steps of the context model, with the regulator between it and the coder."""
        log2_a = gains.gain.log2()[..., 0]

        def regulated(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
            symbols = code_step(mean * torch.exp2(log2_a), log2_scale + log2_a, pick)
            return dequantise(symbols, mean, log2_a)

        return self.restore(self.context(features, gains.rate, regulated), gains)

    def restore(self, y_hat: Tensor, gains: Gains) -> Tensor:
        """Scale the decoded ``y_hat`` (B, M, h, w) for the synthesis, by channel and rate."""
        return y_hat * interpolate_gains(self.log_restoration, gains.rate)
