"""`qmap`: the rate as a map over the picture (Song, Choi and Han, "Variable-Rate Deep Image Compression through
Spatially-Adaptive Feature Transform", ICCV 2021).

A level in [0, 1] for each 32 x 32 pixels sets the trade-off there; the same level everywhere is the rate of the
other families. Gains follow the map sample by sample, and a spatial feature transform conditions analysis,
hyper-analysis and synthesis on it (`networks.modulation`). Differences from the paper: the backbone
is ours; the decoder knows the map, because it is in the file, where the paper's guesses it from z; the
condition does not see the picture; nothing runs at full resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.models.base import Latents, RateState, register
from vrcodec.models.coding.hyperprior import Factors, Scaling
from vrcodec.models.families.gained import Gained
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import finer, log_linear_map
from vrcodec.models.networks.modulation import Modulated, condition_net
from vrcodec.regions.grid import HYPER_STRIDE, Block, LatentGrid
from vrcodec.regions.window import cut
from vrcodec.timing import stage

# More would leave no room for the transforms themselves; a level is one number.
CONDITIONS = 12


@dataclass(frozen=True)
class MapScaling(Scaling):
    """The factors of a map. Of y, ``factors`` has those of the mean level: there are too many to keep them all.

    ``log_gain``, ``log_inverse_gain``: the knots that all follow from.
    """

    log_gain: Tensor
    log_inverse_gain: Tensor

    def within(self, window: Block) -> Factors:
        assert self.factors.levels is not None
        levels = cut(self.factors.levels, window)
        with torch.no_grad():
            knots = self.log_gain, self.log_inverse_gain
            gain, inverse = (log_linear_map(own, levels) for own in knots)
        return replace(self.factors, gain=gain, inverse_gain=inverse)


@register
class Qmap(Gained):
    """Gains and feature transforms that follow a map of rates."""

    family = "qmap"
    method = 3
    mapped = True
    one_analysis = False

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

    def factors(self, rate: Tensor) -> Factors:
        """``rate``: (B,), or maps (B, 1, ceil(h / 2), ceil(w / 2)) for y of h x w samples, h and w even."""
        levels = rate.reshape(-1, 1, 1, 1) if rate.dim() == 1 else finer(rate)
        coarse = levels if rate.dim() == 1 else _at_hyper(levels)
        return Factors(
            rate,
            log_linear_map(self.log_gain, levels),
            log_linear_map(self.log_inverse_gain, levels),
            log_linear_map(self.log_hyper_gain, coarse),
            log_linear_map(self.log_hyper_inverse_gain, coarse),
            levels,
        )

    def beside(self, levels: Tensor | None) -> tuple[Tensor, ...]:
        assert levels is not None
        return (self.condition_net(2 * levels - 1),)

    def with_map(self, rate: RateState, shape: QualityMap, grid: LatentGrid) -> RateState:
        """The map that has this shape and the mean level of ``rate``."""
        assert isinstance(rate, Scaling)
        own = torch.from_numpy(shape.levels(rate.code))[None, None]
        levels = finer(own)[..., : grid.height, : grid.width]
        coarse = _at_hyper(levels)
        with torch.no_grad():
            factors = replace(
                rate.factors,
                hyper_gain=log_linear_map(self.log_hyper_gain, coarse),
                hyper_inverse_gain=log_linear_map(self.log_hyper_inverse_gain, coarse),
                levels=levels,
            )
        return MapScaling(rate.code, factors, self.log_gain, self.log_inverse_gain)

    # The analysis knows the map, so it comes with the rate.

    def analyse_pictures(self, x: Tensor, *beside: Tensor) -> Tensor:
        return super().analyse_pictures(x, *beside) if beside else x

    def rough_bits(self, latents: Latents, rate: RateState) -> None:
        """Unknown: there are no latents before the map is known."""

    @torch.inference_mode()
    def conditioned(self, latents: Latents, rate: RateState) -> Latents:
        """The analysis, which needs the map."""
        assert isinstance(rate, Scaling)
        with stage("analysis"):
            return Latents(self.analyse_pictures(latents.y, *self.conditions(rate)))


def _at_hyper(levels: Tensor) -> Tensor:
    """Means of (B, 1, h, w) over the samples of y above each one of z."""
    return F.avg_pool2d(levels, HYPER_STRIDE, ceil_mode=True, count_include_pad=False)
