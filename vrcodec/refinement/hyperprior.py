"""The families with y and a hyper latent z: both are refined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, Symbols
from vrcodec.models.base import Latents
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.coding.hyperprior import HyperpriorModel, Scaling
from vrcodec.models.networks.context import Pick
from vrcodec.refinement.bit_cost import Prices
from vrcodec.refinement.surrogate import (
    Rounding,
    Surrogate,
    Wanted,
    in_float32,
)
from vrcodec.regions.grid import HYPER_STRIDE, Block, LatentGrid
from vrcodec.regions.window import cut, grown, within

# Samples of z that its synthesis sees on each side.
_REACH = 2


class HyperpriorSurrogate(Surrogate):
    """``start``: what another one has found, in place of what the networks say."""

    def __init__(
        self, model: HyperpriorModel, latents: Latents, rate: Scaling, start: Wanted | None
    ) -> None:
        self._coder, self._twin, self._rate = model, in_float32(model), rate
        if start is None:
            latents = model.conditioned(latents, rate)
            z = model.scaled_z(latents, rate) / rate.factors.hyper_gain.to(latents.y)
            start = [z, latents.y]
        z, y = (t.clone() for t in start)
        self._factors = rate.within(LatentGrid(*y.shape[-2:]).whole).to(y)
        self._z, self._y = z * self._factors.hyper_gain, y * self._factors.gain
        levels = rate.factors.rate if rate.factors.levels is None else rate.factors.levels
        own_levels = levels.reshape(1, 1, -1, 1) if levels.dim() == 1 else levels
        super().__init__(LatentGrid(*y.shape[-2:]), own_levels.to(y))
        self._conditions = model.conditions(rate)
        self._y_prices = Prices(model.y_tables, y.device)
        self._z_prices = Prices(model.z_tables, y.device)
        self._z_numbers = torch.arange(z.shape[1], device=z.device).float()[:, None, None]

    def wanted(self) -> Wanted:
        return [self._z / self._factors.hyper_gain, self._y / self._factors.gain]

    def variables(self, block: Block) -> list[Tensor]:
        return [cut(self._z, block.hyper()).clone(), cut(self._y, block).clone()]

    def keep(self, block: Block, variables: Sequence[Tensor]) -> None:
        z, y = variables
        cut(self._z, block.hyper()).copy_(z)
        cut(self._y, block).copy_(y)

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        z, y = variables
        own_z = rounding(z, None)
        bits = [self._z_prices.total(own_z, self._z_numbers)]

        def exchange(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
            symbols = rounding(pick(y) - mean, log2_scale)
            bits.append(self._y_prices.total(symbols, scale_index(log2_scale)))
            return symbols

        features = self._features(block, own_z)
        y_hat = self._twin.code_block(features, self._factors.within(block), exchange)
        return y_hat, torch.stack(bits).sum()

    def _features(self, block: Block, z: Tensor) -> Tensor:
        """What the hyper latent says of a block, given ``z`` there and the rest as it is."""
        own = block.hyper()
        window = grown(own, _REACH, self._z.shape[-2:])
        around = cut(self._z, window).round()
        inside = within(own, window)
        cut(around, inside).copy_(z)
        z_hat = around * cut(self._factors.hyper_inverse_gain, window)
        features: Tensor = self._twin.hyper_synthesis_net(z_hat)
        top, left = (HYPER_STRIDE * n for n in (inside.top, inside.left))
        height, width = block.bottom - block.top, block.right - block.left
        return features[..., top : top + height, left : left + width]

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        beside = (cut(c, window) for c in self._conditions)
        x: Tensor = self._twin.synthesis_net(y_hat, *beside)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        limited = self._z.round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        z: Symbols = limited[0].int().cpu().numpy()
        latents = Latents(self._y / self._factors.gain)
        return self._coder.code(z, self._coder.quantise_y(latents, z, self._rate))
