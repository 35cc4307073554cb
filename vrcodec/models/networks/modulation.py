"""Spatially adaptive feature transform: features scaled and shifted, sample by sample, by conditions.

Song, Choi and Han, "Variable-Rate Deep Image Compression through Spatially-Adaptive Feature Transform", ICCV
2021, section 3.2. Here nothing runs at full resolution: conditions live at 1/16 of the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.layers import LeakyReLU, Pointwise, set_to_zero
from vrcodec.models.networks.module import Module, ModuleDict, Sequential


def condition_net(width: int) -> Sequential:
    """Levels (B, 1, h, w) in [-1, 1] -> conditions (B, width, h, w)."""
    return Sequential(Pointwise(1, width), LeakyReLU(), Pointwise(width, width), LeakyReLU())


class Modulation(Module):
    """x (1 + gamma(c)) + beta(c), the identity at first.

    x: (B, C, H, W); conditions c: (B, K, h, w) with h = H, H / 2 or 1, and w likewise.
    """

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.gamma_beta = Pointwise(conditions, 2 * channels)
        set_to_zero(self.gamma_beta)

    def forward(self, x: Array, conditions: Array) -> Array:
        kernels = kernels_of(x)
        gamma_beta = self.gamma_beta(kernels.like(conditions, self.gamma_beta.weight))
        if conditions.shape[-2:] != (1, 1) and conditions.shape[-2:] != x.shape[-2:]:
            gamma_beta = kernels.repeat(gamma_beta, x.shape[-2:])
        half = gamma_beta.shape[1] // 2
        return kernels.modulate(x, gamma_beta[:, :half], gamma_beta[:, half:])


class Modulated(Sequential):
    """The layers of ``net``, some of whose outputs pass through a `Modulation`.

    ``channels``: index of such a layer -> channels of its output. Names of parameters stay those of ``net``.
    """

    def __init__(self, net: Sequential, channels: Mapping[int, int], conditions: int) -> None:
        super().__init__(*net)
        self.count = len(net)
        self.modulations = ModuleDict(
            {str(index): Modulation(c, conditions) for index, c in channels.items()}
        )

    def forward(self, x: Array, conditions: Array) -> Array:  # type: ignore[override]
        return deque(self.outputs(x, conditions), maxlen=1).pop()

    def outputs(self, x: Array, conditions: Array) -> Iterator[Array]:
        """What each layer gives, modulated; the next one may overwrite it."""
        for index in range(self.count):
            x = self[index](x)
            if str(index) in self.modulations:
                x = self.modulations[str(index)](x, conditions)
            yield x
