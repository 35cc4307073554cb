"""`qmap`: the rate as a map over the picture (Song, Choi and Han, "Variable-Rate Deep Image Compression through
Spatially-Adaptive Feature Transform", ICCV 2021).

A level in [0, 1] for each sample of y, 16 x 16 pixels, sets the trade-off there; the same level everywhere is
the rate of the other families. Gains follow the map sample by sample, and a spatial feature transform
conditions analysis, hyper-analysis and synthesis on it (`networks.modulation`). Differences from the paper: the
backbone is ours; the decoder knows the map, because it is in the file, where the paper's guesses it from z; the
condition does not see the picture; nothing runs at full resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import Latents, RateParameters, register
from vrcodec.models.families.gained import Gained
from vrcodec.models.gradients import without_gradients
from vrcodec.models.hyperprior import GainParameters, Gains
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import interpolate_gain_map
from vrcodec.models.networks.modulation import Modulated, condition_net
from vrcodec.regions.grid import HYPER_STRIDE, STRIDE, Block, LatentGrid
from vrcodec.regions.window import crop_to
from vrcodec.timing import stage

# Channels of conditions: few, because they come from one number, and the transforms need the arithmetic.
CONDITIONS = 12


@dataclass(frozen=True)
class GainMapParameters(GainParameters):
    """The gains of a quality map. Of y, ``gains`` has those of the mean level: all would take too much memory.

    ``log_gain``, ``log_inverse_gain``: knots, from which `within` computes those of a block.
    """

    log_gain: Array
    log_inverse_gain: Array

    def within(self, window: Block) -> Gains:
        assert self.gains.levels is not None
        levels = crop_to(self.gains.levels, window)
        with kernels_of(levels).without_gradients():
            knots = self.log_gain, self.log_inverse_gain
            gain, inverse = (interpolate_gain_map(k, levels) for k in knots)
        return replace(self.gains, gain=gain, inverse_gain=inverse)


@register
class Qmap(Gained):
    """Gains and feature transforms that follow a quality map."""

    family = "qmap"
    method = 3
    takes_quality_map = True
    rate_independent_analysis = False

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        c, m = size.channels, size.latent
        last = 1 + size.blocks
        # Behind the linear layer, behind the blocks at 1/8, and at 1/16.
        self.analysis_net = Modulated(self.analysis_net, {1: c, last: c, last + 1: m}, CONDITIONS)
        self.hyper_analysis_net = Modulated(self.hyper_analysis_net, {0: size.prior}, CONDITIONS)
        end = 3 + size.blocks
        self.synthesis_net = Modulated(self.synthesis_net, {0: m, 3: c, end: c}, CONDITIONS)
        self.condition_net = condition_net(CONDITIONS)

    def gains(self, rate: Array) -> Gains:
        """``rate``: (B,), or maps (B, 1, h, w) for y of h x w samples."""
        levels = rate.reshape(-1, 1, 1, 1) if rate.ndim == 1 else rate
        coarse = levels if rate.ndim == 1 else _average_to_hyper(levels)
        return Gains(
            rate,
            interpolate_gain_map(self.log_gain, levels),
            interpolate_gain_map(self.log_inverse_gain, levels),
            interpolate_gain_map(self.log_hyper_gain, coarse),
            interpolate_gain_map(self.log_hyper_inverse_gain, coarse),
            levels,
        )

    def compute_conditions(self, levels: Array | None) -> tuple[Array, ...]:
        assert levels is not None
        return (self.condition_net(2 * levels - 1),)

    def with_quality_map(
        self, rate: RateParameters, shape: QualityMap, grid: LatentGrid
    ) -> RateParameters:
        """The map of this shape with the mean level of ``rate``."""
        assert isinstance(rate, GainParameters)
        factor = shape.stride // STRIDE
        at_y = shape.levels(rate.code).repeat(factor, axis=0).repeat(factor, axis=1)
        levels = self.backend.host_place.put(at_y[None, None, : grid.height, : grid.width])
        coarse = _average_to_hyper(levels)
        with self.backend.kernels.without_gradients():
            gains = replace(
                rate.gains,
                hyper_gain=interpolate_gain_map(self.log_hyper_gain, coarse),
                hyper_inverse_gain=interpolate_gain_map(self.log_hyper_inverse_gain, coarse),
                levels=levels,
            )
        return GainMapParameters(rate.code, gains, self.log_gain, self.log_inverse_gain)

    # The analysis depends on the map, so it waits for the rate.

    def compute_latents(self, x: Array, *conditions: Array) -> Array:
        return super().compute_latents(x, *conditions) if conditions else x

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> None:
        """Unknown: there are no latents before the map is known."""

    @without_gradients
    def latents_at_rate(self, latents: Latents, rate: RateParameters) -> Latents:
        """Analyse the picture in ``latents``, given the map."""
        assert isinstance(rate, GainParameters)
        with stage("analysis"):
            return Latents(self.compute_latents(latents.y, *self.coding_conditions(rate)))


def _average_to_hyper(levels: Array) -> Array:
    """Means of levels (B, 1, h, w) over the samples of y of each sample of z."""
    return kernels_of(levels).average(levels, HYPER_STRIDE)
