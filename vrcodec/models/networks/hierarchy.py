"""Coarse-to-fine latents, each given all coarser ones (Duan et al., "QARV: Quantization-Aware ResNet VAE for
Lossy Image Compression", TPAMI 2023, section 3).

A state goes down from 1/64 of the picture to 1/16. At every level it says mean and scale of some latent
channels, and then learns their values, which the encoder chooses (`networks.posterior`).

Differences from the paper: the blocks are ours (`networks.layers`), and so narrow that the way down
can run in float64; no latents at 1/8, where float64 would cost most; a latent is quantised with a step that
follows from the rate, channel by channel, so that networks see latents in the same unit at every rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrcodec.models.networks.gains import KNOTS, interpolate_knots
from vrcodec.models.networks.layers import Block, Pointwise, at_least_float32
from vrcodec.models.networks.modulation import Modulation

# Gains span 2^-2.16 .. 2^2.16 at first: a factor of 20, the square root of lambda's range.
_SPREAD = 2.16
ALL_PHASES = (0, 1, 2)


@dataclass(frozen=True)
class Prior:
    """What is known of a latent before it is.

    ``state`` (B, F, h, w). ``mean`` and ``log2_scale`` (B, Z, n), for the n samples that there are (`pick`);
    the mean in the latent's own unit, the scale in quantisation steps, of which a unit has ``gain``
    (B, Z, 1).
    """

    state: Tensor
    mean: Tensor
    log2_scale: Tensor
    gain: Tensor
    places: Tensor

    def pick(self, x: Tensor) -> Tensor:
        """(B, Z, h, w) -> (B, Z, n)."""
        return pick(x, self.places.to(x.device))

    def residual(self, value: Tensor) -> Tensor:
        """How far ``value`` is from the mean, in steps."""
        return (value - self.mean) * self.gain

    def value(self, residual: Tensor) -> Tensor:
        """Inverse of `residual`."""
        return residual / self.gain + self.mean


# Gives the value (B, Z, n) of latent number k, in its own unit.
Exchange = Callable[[int, Prior], Tensor]


@dataclass(frozen=True)
class Kind:
    """A latent variable: ``channels`` Z at the samples of ``phases``, or at all.

    Phase 0 is every second sample of every second row, 1 the other samples of its diagonals, 2 the rest.
    """

    channels: int
    phases: tuple[int, ...] = ALL_PHASES

    def places(self, height: int, width: int, device: torch.device) -> Tensor:
        """Where the samples lie in a flattened (height, width), row by row in each phase: (n,)."""
        if self.phases == ALL_PHASES:
            return torch.arange(height * width, device=device)
        rows = (torch.arange(height, device=device) % 2).unsqueeze(1)
        columns = torch.arange(width, device=device) % 2
        phase = torch.where(rows == columns, rows, 2).flatten()
        return torch.cat([torch.nonzero(phase == own)[:, 0] for own in self.phases])


class Level(nn.Module):
    """One latent variable of the way down: state (B, F, h, w) -> state that knows z (B, Z, n)."""

    def __init__(self, width: int, kind: Kind, conditions: int, blocks: int) -> None:
        super().__init__()
        channels = kind.channels
        self.kind = kind
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.modulation = Modulation(width, conditions)
        self.head = Pointwise(width, 2 * channels)
        self.embed = Pointwise(channels, width)
        ramp = torch.linspace(-_SPREAD, _SPREAD, KNOTS).unsqueeze(1)
        self.log2_gain = nn.Parameter(ramp.repeat(1, channels))

    def log2_gains(self, rate: Tensor) -> Tensor:
        """log2 of how many steps a unit has at ``rate`` (B,), in its dtype: (B, Z, 1)."""
        knots = self.log2_gain.to(rate.device, rate.dtype)
        return interpolate_knots(knots, rate).unsqueeze(-1)

    def prior(self, state: Tensor, conditions: Tensor, rate: Tensor) -> Prior:
        """``conditions`` (B, K, 1, 1) of ``rate`` (B,)."""
        state = self.modulation(self.blocks(state), conditions)
        log2_gain = self.log2_gains(rate)
        places = self.kind.places(state.shape[-2], state.shape[-1], state.device)
        mean, log2_scale = pick(at_least_float32(self.head(state)), places).chunk(2, dim=1)
        gain = torch.exp2(log2_gain)
        return Prior(state, mean, log2_scale + log2_gain, gain, places)

    def learn(self, prior: Prior, z: Tensor) -> Tensor:
        """The state once z is known."""
        if not len(prior.places):
            return prior.state
        known = self.embed(z.unsqueeze(-1)).squeeze(-1)
        return prior.state + spread(known, prior.places, prior.state.shape[-2:])


class Descent(nn.Module):
    """The way down. ``kinds`` of the latents at 1/64, 1/32 and 1/16, level by level; ``blocks`` of a level."""

    def __init__(
        self, width: int, kinds: Sequence[Sequence[Kind]], conditions: int, blocks: Sequence[int]
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, width, 1, 1))
        scales = zip(kinds, blocks, strict=True)
        self.scales = nn.ModuleList(
            nn.ModuleList(Level(width, kind, conditions, count) for kind in own)
            for own, count in scales
        )
        self.ups = nn.ModuleList(_up(width) for _ in kinds[1:])

    def levels(self) -> list[list[Level]]:
        """Scale by scale, coarse to fine."""
        scales = [own for own in self.scales if isinstance(own, nn.ModuleList)]
        return [[level for level in own if isinstance(level, Level)] for own in scales]

    def forward(
        self,
        conditions: Tensor,
        rate: Tensor,
        sizes: Sequence[tuple[int, int]],
        exchange: Exchange,
    ) -> tuple[Tensor, Tensor]:
        """The last state, and what is known of y, whose groups are the latents at 1/16: (B, M, h, w).

        ``sizes`` (h, w) of the scales, coarse to fine.
        """
        state = self.start.repeat(len(rate), 1, *sizes[0])
        number = 0
        groups: list[tuple[Kind, Tensor]] = []
        for index, (levels, (height, width)) in enumerate(zip(self.levels(), sizes, strict=True)):
            if index:
                state = self.ups[index - 1](state)[..., :height, :width]
            groups = []
            for level in levels:
                prior = level.prior(state, conditions, rate)
                z = exchange(number, prior)
                state = level.learn(prior, z)
                groups.append((level.kind, spread(z, prior.places, (height, width))))
                number += 1
        return state, _joined(groups)


def _joined(groups: Sequence[tuple[Kind, Tensor]]) -> Tensor:
    """The groups of channels one behind the other, each put together from its phases."""
    joined: list[Tensor] = []
    for kind, values in groups:
        if 0 in kind.phases:
            joined.append(values)
        else:
            joined[-1] = joined[-1] + values
    return torch.cat(joined, dim=1)


def pick(x: Tensor, places: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, n)."""
    flat = x.flatten(2)
    if len(places) == flat.shape[-1]:
        return flat
    # `gather`, because indexing is several times slower.
    return flat.gather(2, places.expand(*flat.shape[:2], -1))


def spread(values: Tensor, places: Tensor, size: Sequence[int]) -> Tensor:
    """Inverse of `pick`, with zeros elsewhere: (B, C, n) -> (B, C, h, w)."""
    batch, channels, count = values.shape
    height, width = size
    if count == height * width:
        return values.reshape(batch, channels, height, width)
    empty = values.new_zeros(batch, channels, height * width)
    filled = empty.scatter(2, places.expand_as(values), values)
    return filled.view(batch, channels, height, width)


def scale_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) at 1/64, 1/32 and 1/16 where the last is ``height`` x ``width``."""
    return [(-(-height // factor), -(-width // factor)) for factor in (4, 2, 1)]


def _up(width: int) -> nn.Sequential:
    return nn.Sequential(Pointwise(width, 4 * width), nn.PixelShuffle(2))


def channel_ranges(kinds: Sequence[Kind]) -> list[slice]:
    """Which channels of y each of the latents at 1/16 has."""
    found: list[slice] = []
    end = 0
    for kind in kinds:
        if 0 in kind.phases:
            end += kind.channels
        found.append(slice(end - kind.channels, end))
    return found
