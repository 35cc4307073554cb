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

import numpy as np
import numpy.typing as npt

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.gains import initial_ramp, interpolate_knots
from vrcodec.models.networks.layers import PixelShuffle, Pointwise, ResidualBlock
from vrcodec.models.networks.modulation import Modulation
from vrcodec.models.networks.module import Module, ModuleList, Sequential, parameter

# Gains span 2^-2.16 .. 2^2.16 at first: a factor of 20, the square root of lambda's range.
_SPREAD = 2.16
Positions = npt.NDArray[np.int64]
ALL_PHASES = (0, 1, 2)


@dataclass(frozen=True)
class Prior:
    """Entropy parameters of a latent variable, before its value is known.

    ``state`` (B, F, h, w). ``mean`` and ``log2_scale`` (B, Z, n), of its n samples (`pick`): the mean in
    the latent's own unit, the scale in quantisation steps, of which a unit has ``gain`` (B, Z, 1).
    ``positions`` (n,): of the samples in a flattened (h, w).
    """

    state: Array
    mean: Array
    log2_scale: Array
    gain: Array
    positions: Positions

    def pick(self, x: Array) -> Array:
        """The samples of this latent: (B, Z, h, w) -> (B, Z, n)."""
        return gather_samples(x, self.positions)

    def residual(self, value: Array) -> Array:
        """``value`` minus the mean, in quantisation steps."""
        return (value - self.mean) * self.gain

    def value(self, residual: Array) -> Array:
        """Inverse of `residual`."""
        return residual / self.gain + self.mean


# Number and prior of a latent -> its value (B, Z, n), in its own unit: quantised, decoded, or a posterior mean.
LatentSource = Callable[[int, Prior], Array]


@dataclass(frozen=True)
class LatentSpec:
    """Shape of a latent variable: ``channels`` Z at the samples of ``phases``.

    Phase 0 is every second sample of every second row, 1 the other samples of its diagonals, 2 the rest.
    """

    channels: int
    phases: tuple[int, ...] = ALL_PHASES

    def positions(self, height: int, width: int) -> Positions:
        """Positions (n,) of the samples in a flattened (height, width), row by row in each phase."""
        if self.phases == ALL_PHASES:
            return np.arange(height * width)
        rows, columns = (side % 2 for side in np.indices((height, width), sparse=True))
        phases = np.where(rows == columns, rows, 2).ravel()
        return np.concatenate([np.flatnonzero(phases == phase) for phase in self.phases])


class Level(Module):
    """One level of the top-down path: state (B, F, h, w) -> state given its latent z (B, Z, n)."""

    def __init__(self, width: int, spec: LatentSpec, conditions: int, blocks: int) -> None:
        super().__init__()
        channels = spec.channels
        self.spec = spec
        self.blocks = Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.modulation = Modulation(width, conditions)
        self.head = Pointwise(width, 2 * channels)
        self.embed = Pointwise(channels, width)
        self.log2_gain = parameter(initial_ramp(_SPREAD, channels))

    def log2_gains(self, rate: Array) -> Array:
        """log2 of the quantisation steps in a unit at ``rate`` (B,), in its dtype: (B, Z, 1)."""
        knots = kernels_of(rate).like(self.log2_gain, rate)
        return interpolate_knots(knots, rate)[..., None]

    def prior(self, state: Array, conditions: Array, rate: Array) -> Prior:
        """The prior of z given ``state``; ``conditions`` (B, K, 1, 1) of ``rate`` (B,)."""
        kernels = kernels_of(state)
        state = self.modulation(self.blocks(state), conditions)
        log2_gain = self.log2_gains(rate)
        positions = self.spec.positions(*state.shape[-2:])
        head = gather_samples(kernels.at_least_float32(self.head(state)), positions)
        mean, log2_scale = head[:, : self.spec.channels], head[:, self.spec.channels :]
        gain = kernels.xp.exp2(log2_gain)
        return Prior(state, mean, log2_scale + log2_gain, gain, positions)

    def update_state(self, prior: Prior, z: Array) -> Array:
        """The state given the value ``z``."""
        if not len(prior.positions):
            return prior.state
        embedding = self.embed(z[..., None])[..., 0]
        return prior.state + scatter_samples(embedding, prior.positions, prior.state.shape[-2:])


class TopDownPath(Module):
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
        self.start = parameter(np.zeros((1, width, 1, 1), np.float32))
        scales = zip(specs, blocks, strict=True)
        self.scales = ModuleList(
            *(
                ModuleList(*(Level(width, spec, conditions, count) for spec in scale))
                for scale, count in scales
            )
        )
        self.ups = ModuleList(*(_up(width) for _ in specs[1:]))

    def levels(self) -> list[list[Level]]:
        """The levels of each scale, coarse to fine."""
        return [list(scale) for scale in self.scales]

    def forward(
        self,
        conditions: Array,
        rate: Array,
        sizes: Sequence[tuple[int, int]],
        latent_source: LatentSource,
    ) -> tuple[Array, Array]:
        """The last state, and y_hat (B, M, h, w), whose groups of channels are the latents at 1/16.

        ``sizes`` (h, w) of the scales, coarse to fine.
        """
        kernels = kernels_of(self.start)
        empty = kernels.zeros(self.start, (len(rate), self.start.shape[1], *sizes[0]))
        state = empty + self.start
        number = 0
        groups: list[tuple[LatentSpec, Array]] = []
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


def _join_groups(groups: Sequence[tuple[LatentSpec, Array]]) -> Array:
    """Concatenate the groups of channels, each the sum of its phases."""
    groups_of_channels: list[Array] = []
    for spec, values in groups:
        if 0 in spec.phases:
            groups_of_channels.append(values)
        else:
            groups_of_channels[-1] = groups_of_channels[-1] + values
    return kernels_of(groups_of_channels[0]).xp.concatenate(groups_of_channels, axis=1)


def gather_samples(x: Array, positions: Positions) -> Array:
    """The samples at ``positions`` (n,): (B, C, h, w) -> (B, C, n)."""
    flat = x.reshape(*x.shape[:2], -1)
    if len(positions) == flat.shape[-1]:
        return flat
    kernels = kernels_of(x)
    return kernels.gather(flat, kernels.whole_numbers(positions, x))


def scatter_samples(values: Array, positions: Positions, size: Sequence[int]) -> Array:
    """Inverse of `pick`, with zeros elsewhere: (B, C, n) -> (B, C, h, w)."""
    batch, channels, count = values.shape
    height, width = size
    if count == height * width:
        return values.reshape(batch, channels, height, width)
    kernels = kernels_of(values)
    empty = kernels.zeros(values, (batch, channels, height * width))
    filled = kernels.scatter(empty, kernels.whole_numbers(positions, values), values)
    return filled.reshape(batch, channels, height, width)


def scale_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) at 1/64, 1/32 and 1/16, of which the last is ``height`` x ``width``."""
    return [(-(-height // factor), -(-width // factor)) for factor in (4, 2, 1)]


def _up(width: int) -> Sequential:
    return Sequential(Pointwise(width, 4 * width), PixelShuffle(2))


def channel_ranges(specs: Sequence[LatentSpec]) -> list[slice]:
    """The channels of y that each of the latents at 1/16 holds."""
    ranges: list[slice] = []
    end = 0
    for spec in specs:
        if 0 in spec.phases:
            end += spec.channels
        ranges.append(slice(end - spec.channels, end))
    return ranges
