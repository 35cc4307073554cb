"""The rate-distortion loss, with a trade-off of its own for every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.models.networks.gains import finer
from vrcodec.models.trade_off import LAMBDA_MIN, rate_to_lambda
from vrcodec.regions.grid import STRIDE


@dataclass(frozen=True)
class Loss:
    """``total`` is what is minimised; ``bpp`` and ``mse`` (pixels in [0, 1]) are per sample (B,)."""

    total: Tensor
    bpp: Tensor
    mse: Tensor


def rate_distortion_loss(
    x: Tensor, x_hat: Tensor, likelihoods: Mapping[str, Tensor], rate: Tensor
) -> Loss:
    """(bpp + 255^2 * mean(lambda * error^2)) / sqrt(lambda / lambda_min), mean over the batch.

    The divisor keeps the gradients of high rates from drowning those of low ones; it does not
    change any sample's optimum. ``rate`` is (B,), or maps (B, 1, H / 32, W / 32) of levels, whose divisor
    is that of their mean level; x and x_hat are (B, 3, H, W) in [0, 1].
    """
    maps = rate.float().reshape(-1, 1, 1, 1) if rate.dim() == 1 else finer(rate.float())
    pixels = x.shape[-2] * x.shape[-1]
    bits = [-torch.log2(p).flatten(1).sum(1) for p in likelihoods.values()]
    bpp = torch.stack(bits).sum(0) / pixels
    errors = F.avg_pool2d((x_hat.float() - x.float()).square().mean(1, keepdim=True), STRIDE)
    weighted = (rate_to_lambda(maps) * errors).flatten(1).mean(1)
    usual = rate_to_lambda(maps.flatten(1).mean(1))
    loss = (bpp + 255.0**2 * weighted) / torch.sqrt(usual / LAMBDA_MIN)
    return Loss(loss.mean(), bpp, errors.flatten(1).mean(1))
