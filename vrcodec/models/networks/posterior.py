"""The encoder's side of a hierarchy of latents (`networks.hierarchy`): what their values are to be.

It sees the picture: first it goes up, from 1/16 to 1/64, and then down beside the state of the decoder, whose
knowledge it takes into account at every level (Duan et al., TPAMI 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vrcodec.models.networks.hierarchy import Exchange, Kind, Prior, channel_ranges, scale_sizes
from vrcodec.models.networks.layers import LEAKY_SLOPE, Block, Conv2d, Pointwise, pad_to_multiple


class Ascent(nn.Module):
    """The way up, on the encoder only: y (B, M, h, w) -> features at 1/64, 1/32 and 1/16."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.inlet = nn.Sequential(Pointwise(latent, width), Block(width))
        self.downs = nn.ModuleList(
            nn.Sequential(Conv2d(width, width, 2, stride=2), Block(width)) for _ in range(2)
        )

    def forward(self, y: Tensor) -> list[Tensor]:
        features = [self.inlet(pad_to_multiple(y, 2 ** len(self.downs)))]
        for down in self.downs:
            features.append(down(features[-1]))
        sizes = scale_sizes(*y.shape[-2:])
        return [f[..., :h, :w] for f, (h, w) in zip(features[::-1], sizes, strict=True)]


class Correction(nn.Module):
    """Where the encoder wants z: where it did at first, corrected by what the state knows already."""

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
    """The encoder's side of the way down. ``kinds``: as for `Descent`; those at 1/16 are groups of y."""

    def __init__(self, latent: int, width: int, kinds: Sequence[Sequence[Kind]]) -> None:
        super().__init__()
        every = [kind for own in kinds for kind in own]
        coarse = [kind for own in kinds[:-1] for kind in own]
        self.ascent = Ascent(latent, width)
        self.first = nn.ModuleList(Pointwise(width, kind.channels) for kind in coarse)
        self.corrections = nn.ModuleList(Correction(width, kind.channels) for kind in every)
        self._scale_of = [scale for scale, own in enumerate(kinds) for _ in own]
        self._channels = channel_ranges(kinds[-1])

    def forward(self, y: Tensor) -> Exchange:
        """y (B, M, h, w) -> where the encoder wants latent number k, before it is quantised."""
        features = self.ascent(y)
        coarse = [net(features[self._scale_of[k]]).float() for k, net in enumerate(self.first)]
        first = [*coarse, *(y[:, own] for own in self._channels)]

        def wanted(number: int, prior: Prior) -> Tensor:
            own = features[self._scale_of[number]]
            correct = self.corrections[number]
            return prior.pick(correct(first[number], own, prior.state.to(own)))

        return wanted
