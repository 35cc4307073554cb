"""`qarv`: the latents of all levels are refined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.models.base import Latents
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.coding.symbols import CodedBlock
from vrcodec.models.families.qarv import LevelRate, Qarv
from vrcodec.models.networks.hierarchy import Exchange, Prior
from vrcodec.refinement.bit_cost import Prices
from vrcodec.refinement.surrogate import (
    Rounding,
    Surrogate,
    Wanted,
    in_float32,
)
from vrcodec.regions.grid import Block, LatentGrid


class HierarchySurrogate(Surrogate):
    """``start``: what another one has found, in place of what the networks say."""

    def __init__(
        self, model: Qarv, latents: Latents, rate: LevelRate, start: Wanted | None
    ) -> None:
        self._coder, self._twin, self._rate = model, in_float32(model), rate
        self._at = rate.rate.to(latents.y)
        self._prices = Prices(model.tables, latents.y.device)
        super().__init__(LatentGrid(*latents.y.shape[-2:]), self._at.reshape(1, 1, 1, 1))
        levels = (level for scale in self._twin.descent.levels() for level in scale)
        self._gains = [torch.exp2(level.log2_gains(self._at)) for level in levels]
        # Block by block, in each level by level, in the latents' own units: (1, Z, n).
        self._wanted = [t.clone() for t in (start or self._first(latents))]

    def _first(self, latents: Latents) -> list[Tensor]:
        """What the networks say, given that the coder rounds what came before."""
        found: list[Tensor] = []
        with torch.inference_mode():
            for block in self.blocks:
                wanted = self._twin.wanted(latents, block)

                def exchange(number: int, prior: Prior, wanted: Exchange = wanted) -> Tensor:
                    found.append(wanted(number, prior).to(prior.mean))
                    residual = prior.residual(found[-1])
                    return prior.value(self._coder.round(residual, prior.log2_scale))

                self._descend(block, exchange)
        return found

    def _descend(self, block: Block, exchange: Exchange) -> Tensor:
        return self._twin.descend(self._at, block.size, exchange)

    def wanted(self) -> Wanted:
        return self._wanted

    def _numbers(self, block: Block) -> range:
        first = self.blocks.index(block) * len(self._gains)
        return range(first, first + len(self._gains))

    def variables(self, block: Block) -> list[Tensor]:
        own = (self._wanted[k] for k in self._numbers(block))
        return [value * gain for value, gain in zip(own, self._gains, strict=True)]

    def keep(self, block: Block, variables: Sequence[Tensor]) -> None:
        for k, value, gain in zip(self._numbers(block), variables, self._gains, strict=True):
            self._wanted[k] = value / gain

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        bits = []

        def exchange(number: int, prior: Prior) -> Tensor:
            residual = variables[number] - prior.mean * prior.gain
            symbols = rounding(residual, prior.log2_scale)
            bits.append(self._prices.total(symbols, scale_index(prior.log2_scale)))
            return prior.value(symbols)

        y_hat = self._descend(block, exchange)
        return y_hat, torch.stack(bits).sum()

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        x: Tensor = self._twin.synthesis_net(y_hat)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        return self._coder.code(map(self._coded, self.blocks))

    def _coded(self, block: Block) -> CodedBlock:
        own = [self._wanted[k] for k in self._numbers(block)]
        return self._coder.quantise(lambda number, prior: own[number], self._rate, block)
