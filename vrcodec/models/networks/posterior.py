"""The posterior of a hierarchy of latents (`networks.hierarchy`), which the encoder quantises.

Features of the picture go bottom-up, from 1/16 to 1/64; at every level of the top-down path they are combined
with the state of the decoder (Duan et al., TPAMI 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.hierarchy import (
    LatentSource,
    LatentSpec,
    Prior,
    channel_ranges,
    scale_sizes,
)
from vrcodec.models.networks.layers import (
    Conv2d,
    LeakyReLU,
    Pointwise,
    ResidualBlock,
    pad_to_multiple,
    set_to_zero,
)
from vrcodec.models.networks.module import Module, ModuleList, Sequential


class BottomUpPath(Module):
    """The bottom-up path: y (B, M, h, w) -> features at 1/64, 1/32 and 1/16."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.inlet = Sequential(Pointwise(latent, width), ResidualBlock(width))
        self.downs = ModuleList(
            *(Sequential(Conv2d(width, width, 2, stride=2), ResidualBlock(width)) for _ in range(2))
        )

    def forward(self, y: Array) -> list[Array]:
        features = [self.inlet(pad_to_multiple(y, 2 ** len(self.downs)))]
        for down in self.downs:
            features.append(down(features[-1]))
        sizes = scale_sizes(*y.shape[-2:])
        return [f[..., :h, :w] for f, (h, w) in zip(features[::-1], sizes, strict=True)]


class Correction(Module):
    """Posterior mean of z: the ``first`` guess from the picture alone, corrected given the decoder's state."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.correction = Sequential(
            Pointwise(2 * width, width), LeakyReLU(), Pointwise(width, channels)
        )
        set_to_zero(self.correction[-1])

    def forward(self, first: Array, features: Array, state: Array) -> Array:
        kernels = kernels_of(features)
        both = kernels.xp.concatenate((features, state), axis=1)
        return first + kernels.float32(self.correction(both))


class Posterior(Module):
    """Posterior means. ``specs``: as for `TopDownPath`; the latents at 1/16 are groups of channels of y."""

    def __init__(self, latent: int, width: int, specs: Sequence[Sequence[LatentSpec]]) -> None:
        super().__init__()
        every = [spec for scale in specs for spec in scale]
        coarse = [spec for scale in specs[:-1] for spec in scale]
        self.ascent = BottomUpPath(latent, width)
        self.first = ModuleList(*(Pointwise(width, spec.channels) for spec in coarse))
        self.corrections = ModuleList(*(Correction(width, spec.channels) for spec in every))
        self._scale_indices = [index for index, scale in enumerate(specs) for _ in scale]
        self._channels = channel_ranges(specs[-1])

    def forward(self, y: Array) -> LatentSource:
        """y (B, M, h, w) -> the posterior mean of each latent, before it is quantised."""
        features = self.ascent(y)
        kernels = kernels_of(y)
        coarse = [
            kernels.float32(net(features[self._scale_indices[k]]))
            for k, net in enumerate(self.first)
        ]
        first = [*coarse, *(y[:, channels] for channels in self._channels)]

        def posterior_mean(number: int, prior: Prior) -> Array:
            at_scale = features[self._scale_indices[number]]
            correct = self.corrections[number]
            state = kernels.like(prior.state, at_scale)
            return prior.pick(correct(first[number], at_scale, state))

        return posterior_mean
