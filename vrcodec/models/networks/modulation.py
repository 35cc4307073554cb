"""Spatially adaptive feature transform: features scaled and shifted, sample by sample, by conditions.

Song, Choi and Han, "Variable-Rate Deep Image Compression through Spatially-Adaptive Feature Transform", ICCV
2021, section 3.2. Here nothing runs at full resolution: conditions live at 1/16 of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrcodec.models.networks.layers import LEAKY_SLOPE, Pointwise


def condition_net(width: int) -> nn.Sequential:
    """Levels (B, 1, h, w) in [-1, 1] -> conditions (B, width, h, w)."""
    return nn.Sequential(
        Pointwise(1, width),
        nn.LeakyReLU(LEAKY_SLOPE),
        Pointwise(width, width),
        nn.LeakyReLU(LEAKY_SLOPE),
    )


class Modulation(nn.Module):
    """x (1 + gamma(c)) + beta(c), the identity at first.

    x: (B, C, H, W); conditions c: (B, K, h, w) with h = H, H / 2 or 1, and w likewise.
    """

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.gamma_beta = Pointwise(conditions, 2 * channels)
        nn.init.zeros_(self.gamma_beta.weight)
        nn.init.zeros_(self.gamma_beta.bias)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        gamma_beta = self.gamma_beta(conditions.to(self.gamma_beta.weight.dtype))
        if conditions.shape[-2:] != (1, 1) and conditions.shape[-2:] != x.shape[-2:]:
            gamma_beta = F.interpolate(gamma_beta, x.shape[-2:], mode="nearest")
        gamma, beta = gamma_beta.to(x.dtype).chunk(2, dim=1)
        return torch.addcmul(x + beta, x, gamma)


class Modulated(nn.Sequential):
    """The layers of ``net``, some of whose outputs pass through a `Modulation`.

    ``channels``: index of such a layer -> channels of its output. Names of parameters stay those of ``net``.
    """

    def __init__(self, net: nn.Sequential, channels: Mapping[int, int], conditions: int) -> None:
        super().__init__(*net)
        self.count = len(net)
        self.modulations = nn.ModuleDict(
            {str(index): Modulation(c, conditions) for index, c in channels.items()}
        )

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:  # type: ignore[override]
        for index in range(self.count):
            x = self[index](x)
            if str(index) in self.modulations:
                x = self.modulations[str(index)](x, conditions)
        return x
