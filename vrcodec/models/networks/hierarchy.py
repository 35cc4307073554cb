"""Coarse-to-fine latents, each given all coarser ones (Duan et al., "QARV: Quantization-Aware ResNet VAE for
Lossy Image Compression", TPAMI 2023, section 3).

The top-down path takes a state from 1/64 of the picture to 1/16. Every level predicts mean and scale of some
latent channels, and then adds their values to the state; the encoder chooses them (`networks.posterior`).

Differences from the paper: the blocks are ours (`networks.layers`), and so narrow that the top-down path
can run in float64; no latents at 1/8, where float64 would cost most; a latent is quantised with a step that
follows from the rate, channel by channel, so that networks see latents in the same unit at every rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrcodec.models.networks.gains import KNOTS, interpolate_knots
from vrcodec.models.networks.layers import Pointwise, ResidualBlock, at_least_float32
from vrcodec.models.networks.modulation import Modulation

# Gains span 2^-2.16 .. 2^2.16 at first: a factor of 20, the square root of lambda's range.
_SPREAD = 2.16
ALL_PHASES = (0, 1, 2)


@dataclass(frozen=True)
class Prior:
    """Entropy parameters of a latent variable, before its value is known.

    ``state`` (B, F, h, w). ``mean`` and ``log2_scale`` (B, Z, n), of its n samples (`pick`): the mean in
    the latent's own unit, the scale in quantisation steps, of which a unit has ``gain`` (B, Z, 1).
    ``positions`` (n,): of the samples in a flattened (h, w).
    """

    state: Tensor
    mean: Tensor
    log2_scale: Tensor
    gain: Tensor
    positions: Tensor

    def pick(self, x: Tensor) -> Tensor:
        """The samples of this latent: (B, Z, h, w) -> (B, Z, n)."""
        return gather_samples(x, self.positions.to(x.device))

    def residual(self, value: Tensor) -> Tensor:
        """``value`` minus the mean, in quantisation steps."""
        return (value - self.mean) * self.gain

    def value(self, residual: Tensor) -> Tensor:
        """Inverse of `residual`."""
        return residual / self.gain + self.mean


# Number and prior of a latent -> its value (B, Z, n), in its own unit: quantised, decoded, or a posterior mean.
LatentSource = Callable[[int, Prior], Tensor]


@dataclass(frozen=True)
class LatentSpec:
    """Shape of a latent variable: ``channels`` Z at the samples of ``phases``.

    Phase 0 is every second sample of every second row, 1 the other samples of its diagonals, 2 the rest.
    """

    channels: int
    phases: tuple[int, ...] = ALL_PHASES

    def positions(self, height: int, width: int, device: torch.device) -> Tensor:
        """Positions (n,) of the samples in a flattened (height, width), row by row in each phase."""
        if self.phases == ALL_PHASES:
            return torch.arange(height * width, device=device)
        rows = (torch.arange(height, device=device) % 2).unsqueeze(1)
        columns = torch.arange(width, device=device) % 2
        phases = torch.where(rows == columns, rows, 2).flatten()
        return torch.cat([torch.nonzero(phases == phase)[:, 0] for phase in self.phases])


class Level(nn.Module):
    """One level of the top-down path: state (B, F, h, w) -> state given its latent z (B, Z, n)."""

    def __init__(self, width: int, spec: LatentSpec, conditions: int, blocks: int) -> None:
        super().__init__()
        channels = spec.channels
        self.spec = spec
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.modulation = Modulation(width, conditions)
        self.head = Pointwise(width, 2 * channels)
        self.embed = Pointwise(channels, width)
        ramp = torch.linspace(-_SPREAD, _SPREAD, KNOTS).unsqueeze(1)
        self.log2_gain = nn.Parameter(ramp.repeat(1, channels))

    def log2_gains(self, rate: Tensor) -> Tensor:
        """log2 of the quantisation steps in a unit at ``rate`` (B,), in its dtype: (B, Z, 1)."""
        knots = self.log2_gain.to(rate.device, rate.dtype)
        return interpolate_knots(knots, rate).unsqueeze(-1)

    def prior(self, state: Tensor, conditions: Tensor, rate: Tensor) -> Prior:
        """The prior of z given ``state``; ``conditions`` (B, K, 1, 1) of ``rate`` (B,)."""
        state = self.modulation(self.blocks(state), conditions)
        log2_gain = self.log2_gains(rate)
        positions = self.spec.positions(state.shape[-2], state.shape[-1], state.device)
        mean, log2_scale = gather_samples(at_least_float32(self.head(state)), positions).chunk(
            2, dim=1
        )
        gain = torch.exp2(log2_gain)
        return Prior(state, mean, log2_scale + log2_gain, gain, positions)

    def update_state(self, prior: Prior, z: Tensor) -> Tensor:
        """The state given the value ``z``."""
        if not len(prior.positions):
            return prior.state
        embedding = self.embed(z.unsqueeze(-1)).squeeze(-1)
        return prior.state + scatter_samples(embedding, prior.positions, prior.state.shape[-2:])


class TopDownPath(nn.Module):
    """The top-down path of the decoder.

    ``specs`` of the latents at 1/64, 1/32 and 1/16, level by level. ``blocks``: residual blocks of a level.
    """

    def __init__(
        self,
        width: int,
        specs: Sequence[Sequence[LatentSpec]],
        conditions: int,
        blocks: Sequence[int],
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, width, 1, 1))
        scales = zip(specs, blocks, strict=True)
        self.scales = nn.ModuleList(
            nn.ModuleList(Level(width, spec, conditions, count) for spec in scale)
            for scale, count in scales
        )
        self.ups = nn.ModuleList(_up(width) for _ in specs[1:])

    def levels(self) -> list[list[Level]]:
        """The levels of each scale, coarse to fine."""
        scales = [scale for scale in self.scales if isinstance(scale, nn.ModuleList)]
        return [[level for level in scale if isinstance(level, Level)] for scale in scales]

    def forward(
        self,
        conditions: Tensor,
        rate: Tensor,
        sizes: Sequence[tuple[int, int]],
        latent_source: LatentSource,
    ) -> tuple[Tensor, Tensor]:
        """The last state, and y_hat (B, M, h, w), whose groups of channels are the latents at 1/16.

        ``sizes`` (h, w) of the scales, coarse to fine.
        """
        state = self.start.repeat(len(rate), 1, *sizes[0])
        number = 0
        groups: list[tuple[LatentSpec, Tensor]] = []
        for index, (levels, (height, width)) in enumerate(zip(self.levels(), sizes, strict=True)):
            if index:
                state = self.ups[index - 1](state)[..., :height, :width]
            groups = []
            for level in levels:
                prior = level.prior(state, conditions, rate)
                z = latent_source(number, prior)
                state = level.update_state(prior, z)
                groups.append((level.spec, scatter_samples(z, prior.positions, (height, width))))
                number += 1
        return state, _join_groups(groups)


def _join_groups(groups: Sequence[tuple[LatentSpec, Tensor]]) -> Tensor:
    """Concatenate the groups of channels, each the sum of its phases."""
    groups_of_channels: list[Tensor] = []
    for spec, values in groups:
        if 0 in spec.phases:
            groups_of_channels.append(values)
        else:
            groups_of_channels[-1] = groups_of_channels[-1] + values
    return torch.cat(groups_of_channels, dim=1)


def gather_samples(x: Tensor, positions: Tensor) -> Tensor:
    """The samples at ``positions`` (n,): (B, C, h, w) -> (B, C, n)."""
    flat = x.flatten(2)
    if len(positions) == flat.shape[-1]:
        return flat
    # `gather`, because indexing is several times slower.
    return flat.gather(2, positions.expand(*flat.shape[:2], -1))


def scatter_samples(values: Tensor, positions: Tensor, size: Sequence[int]) -> Tensor:
    """Inverse of `pick`, with zeros elsewhere: (B, C, n) -> (B, C, h, w)."""
    batch, channels, count = values.shape
    height, width = size
    if count == height * width:
        return values.reshape(batch, channels, height, width)
    empty = values.new_zeros(batch, channels, height * width)
    filled = empty.scatter(2, positions.expand_as(values), values)
    return filled.view(batch, channels, height, width)


def scale_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) at 1/64, 1/32 and 1/16, of which the last is ``height`` x ``width``."""
    return [(-(-height // factor), -(-width // factor)) for factor in (4, 2, 1)]


def _up(width: int) -> nn.Sequential:
    return nn.Sequential(Pointwise(width, 4 * width), nn.PixelShuffle(2))


def channel_ranges(specs: Sequence[LatentSpec]) -> list[slice]:
    """The channels of y that each of the latents at 1/16 holds."""
    ranges: list[slice] = []
    end = 0
    for spec in specs:
        if 0 in spec.phases:
            end += spec.channels
        ranges.append(slice(end - spec.channels, end))
    return ranges
