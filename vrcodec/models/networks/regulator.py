"""The quantisation regulator: one number a(r), the reciprocal of the quantisation step.

Tong et al., "QVRF: A Quantization-error-aware Variable Rate Framework for Learned Image Compression",
ICIP 2023, section 3. The latents of any hyperprior model, with or without means, are coded as
q = round((y - mu) a) with scale sigma a, and come back as q / a + mu; with log2(sigma) predicted, a is an
offset of the table index. Networks see latents without a. Differences from the paper: a follows from
the continuous rate by log-linear interpolation between learned knots, which cannot fall.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_knots

# log2 of a runs over this range at first: a factor of 20, the square root of lambda's range.
_START, _END = -2.16, 2.16


class Regulator(nn.Module):
    """a(r) with its knots: log2 of the first, and the rise of each of the others over the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor([_START]))
        rise = (_END - _START) / (KNOTS - 1)
        # Inverse of the softplus below.
        self.rises = nn.Parameter(torch.full((KNOTS - 1,), math.log(math.expm1(rise))))

    def log2_scale(self, rate: Tensor) -> Tensor:
        """log2 a of ``rate`` (B,), as (B, 1, 1, 1) in the dtype of ``rate``."""
        rises = F.softplus(self.rises.to(rate.device, rate.dtype))
        first = self.first.to(rate.device, rate.dtype)
        knots = torch.cat((first, first + rises.cumsum(0)))
        return as_channels(interpolate_knots(knots.unsqueeze(1), rate))


def quantise(y: Tensor, mean: Tensor | float, log2_a: Tensor) -> Tensor:
    """(y - mean) in quantisation steps, not yet rounded."""
    return (y - mean) * torch.exp2(log2_a)


def dequantise(symbols: Tensor, mean: Tensor | float, log2_a: Tensor) -> Tensor:
    """Inverse of `quantise`."""
    return symbols * torch.exp2(-log2_a) + mean
