"""`qvrf`: a quantisation regulator (Tong et al., "QVRF: A Quantization-error-aware Variable Rate Framework
for Learned Image Compression", ICIP 2023) with a parallel context model.

One number a(r) for all channels of y: q = round((y - mu) a(r)), y_hat = q / a(r) + mu, and networks see y
unscaled (`networks.regulator`). Differences from the paper: the backbone is ours; the context model is
parallel (`networks.context`) instead of serial; it also knows the rate, by a bias for each group,
because what y_hat is worth depends on it; and so does the synthesis, by a factor for each channel: the
coarser the step, the closer to zero lies what was rounded. z has per-channel gains, as in `gained`: at the
lowest rate a fixed precision would cost a twentieth of the file.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vrcodec.models.base import RateState, register
from vrcodec.models.coding.hyperprior import Factors, HyperpriorModel, Scaling
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import Exchange, ParallelContext, Pick
from vrcodec.models.networks.gains import KNOTS, log_linear
from vrcodec.models.networks.regulator import Regulator, dequantise
from vrcodec.rate import BIN_CODE_OCTAVE, RATE_CODE_MAX, bin_size_from_code, rate_from_code


@register
class Qvrf(HyperpriorModel):
    """Quantisation regulator and parallel context on the shared backbone."""

    family = "qvrf"
    method = 2
    exact = ("hyper_synthesis_net", "context")

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.regulator = Regulator()
        self.context = ParallelContext(size.prior, size.groups, size.context)
        self.log_restoration = nn.Parameter(torch.zeros(KNOTS, size.latent))
        self.log_hyper_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))
        self.log_hyper_inverse_gain = nn.Parameter(torch.zeros(KNOTS, size.hyper))

    def factors(self, rate: Tensor) -> Factors:
        log2_a = self.regulator.log2_scale(rate)
        return Factors(
            rate,
            torch.exp2(log2_a),
            torch.exp2(-log2_a),
            log_linear(self.log_hyper_gain, rate),
            log_linear(self.log_hyper_inverse_gain, rate),
        )

    def with_bin_size(self, rate: RateState, bin_code: int) -> RateState:
        """The step of ``bin_code``; all else, as the rate has it."""
        assert isinstance(rate, Scaling)
        step = torch.full_like(rate.factors.gain, bin_size_from_code(bin_code))
        return replace(rate, factors=replace(rate.factors, gain=1 / step, inverse_gain=step))

    def rate_code_of_bins(self, bin_code: int) -> int:
        """By bisection: the step shrinks as the rate rises."""
        low, high = 0, RATE_CODE_MAX
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._coarser(middle, bin_code) else (low, middle)
        return high if self._coarser(low, bin_code) else low

    def _coarser(self, code: int, bin_code: int) -> bool:
        rate = torch.tensor([rate_from_code(code)], dtype=torch.float64)
        return -float(self.regulator.log2_scale(rate)) > bin_code / BIN_CODE_OCTAVE

    def hyper_input(self, y: Tensor, factors: Factors) -> Tensor:
        return y

    def start_scales(self, log2_scales: Tensor) -> None:
        self.context.start_scales(log2_scales)

    def code_block(self, features: Tensor, factors: Factors, exchange: Exchange) -> Tensor:
        """The steps of the context model, with the regulator between it and the coder."""
        log2_a = factors.gain.log2()[..., 0]

        def regulated(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
            symbols = exchange(mean * torch.exp2(log2_a), log2_scale + log2_a, pick)
            return dequantise(symbols, mean, log2_a)

        return self.restored(self.context(features, factors.rate, regulated), factors)

    def restored(self, y_hat: Tensor, factors: Factors) -> Tensor:
        """What the synthesis gets for the decoded ``y_hat`` (B, M, h, w)."""
        return y_hat * log_linear(self.log_restoration, factors.rate)
