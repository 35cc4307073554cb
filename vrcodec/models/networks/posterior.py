"""The posterior of a hierarchy of latents (`networks.hierarchy`), which the encoder quantises.

Features of the picture go bottom-up, from 1/16 to 1/64; at every level of the top-down path they are combined
with the state of the decoder (Duan et al., TPAMI 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vrcodec.models.networks.hierarchy import (
    LatentSource,
    LatentSpec,
    Prior,
    channel_ranges,
    scale_sizes,
)
from vrcodec.models.networks.layers import (
    LEAKY_SLOPE,
    Conv2d,
    Pointwise,
    ResidualBlock,
    pad_to_multiple,
)


class BottomUpPath(nn.Module):
    """The bottom-up path: y (B, M, h, w) -> features at 1/64, 1/32 and 1/16."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.inlet = nn.Sequential(Pointwise(latent, width), ResidualBlock(width))
        self.downs = nn.ModuleList(
            nn.Sequential(Conv2d(width, width, 2, stride=2), ResidualBlock(width)) for _ in range(2)
        )

    def forward(self, y: Tensor) -> list[Tensor]:
        features = [self.inlet(pad_to_multiple(y, 2 ** len(self.downs)))]
        for down in self.downs:
            features.append(down(features[-1]))
        sizes = scale_sizes(*y.shape[-2:])
        return [f[..., :h, :w] for f, (h, w) in zip(features[::-1], sizes, strict=True)]


class Correction(nn.Module):
    """Posterior mean of z: the ``first`` guess from the picture alone, corrected given the decoder's state."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.correction = nn.Sequential(
            Pointwise(2 * width, width), nn.LeakyReLU(LEAKY_SLOPE), Pointwise(width, channels)
        )
        last = self.correction[-1]
        assert isinstance(last, Pointwise)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, first: Tensor, features: Tensor, state: Tensor) -> Tensor:
        correction: Tensor = self.correction(torch.cat((features, state), dim=1))
        return first + correction.float()


class Posterior(nn.Module):
    """Posterior means. ``specs``: as for `TopDownPath`; the latents at 1/16 are groups of channels of y."""

    def __init__(self, latent: int, width: int, specs: Sequence[Sequence[LatentSpec]]) -> None:
        super().__init__()
        every = [spec for scale in specs for spec in scale]
        coarse = [spec for scale in specs[:-1] for spec in scale]
        self.ascent = BottomUpPath(latent, width)
        self.first = nn.ModuleList(Pointwise(width, spec.channels) for spec in coarse)
        self.corrections = nn.ModuleList(Correction(width, spec.channels) for spec in every)
        self._scale_indices = [index for index, scale in enumerate(specs) for _ in scale]
        self._channels = channel_ranges(specs[-1])

    def forward(self, y: Tensor) -> LatentSource:
        """y (B, M, h, w) -> the posterior mean of each latent, before it is quantised."""
        features = self.ascent(y)
        coarse = [net(features[self._scale_indices[k]]).float() for k, net in enumerate(self.first)]
        first = [*coarse, *(y[:, channels] for channels in self._channels)]

        def posterior_mean(number: int, prior: Prior) -> Tensor:
            at_scale = features[self._scale_indices[number]]
            correct = self.corrections[number]
            return prior.pick(correct(first[number], at_scale, prior.state.to(at_scale)))

        return posterior_mean
