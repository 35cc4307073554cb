"""The surrogate of `qarv`: the latents of all levels of the hierarchy are refined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.models.base import Latents
from vrcodec.models.coding.coding_steps import CodedBlock
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.families.qarv import ContinuousRate, Qarv
from vrcodec.models.networks.hierarchy import LatentSource, Prior
from vrcodec.refinement.bit_cost import BitCostTables
from vrcodec.refinement.surrogate import (
    ContinuousLatents,
    Rounding,
    Surrogate,
    make_float32_twin,
)
from vrcodec.regions.grid import Block, LatentGrid


class QarvSurrogate(Surrogate):
    """``initial``: the latents of another surrogate of the same picture, in place of the posterior's means."""

    def __init__(
        self, model: Qarv, latents: Latents, rate: ContinuousRate, initial: ContinuousLatents | None
    ) -> None:
        self._model, self._twin, self._rate = model, make_float32_twin(model), rate
        self._rate_value = rate.rate.to(latents.y)
        self._bit_cost = BitCostTables(model.tables, latents.y.device)
        super().__init__(LatentGrid(*latents.y.shape[-2:]), self._rate_value.reshape(1, 1, 1, 1))
        levels = (level for scale in self._twin.descent.levels() for level in scale)
        self._gains = [torch.exp2(level.log2_gains(self._rate_value)) for level in levels]
        # Block by block, in each level by level, in the latents' own units: (1, Z, n).
        self._latents = [t.clone() for t in (initial or self._posterior_means(latents))]

    def _posterior_means(self, latents: Latents) -> list[Tensor]:
        """The latents of the plain pass, not rounded; each level follows from those before it as coded."""
        means: list[Tensor] = []
        with torch.inference_mode():
            for block in self.blocks:
                posterior = self._twin.block_posterior(latents, block)

                def latent_source(
                    number: int, prior: Prior, posterior: LatentSource = posterior
                ) -> Tensor:
                    means.append(posterior(number, prior).to(prior.mean))
                    residual = prior.residual(means[-1])
                    return prior.value(self._model.round(residual, prior.log2_scale))

                self._decode_top_down(block, latent_source)
        return means

    def _decode_top_down(self, block: Block, latent_source: LatentSource) -> Tensor:
        return self._twin.decode_top_down(self._rate_value, block.size, latent_source)

    def continuous_latents(self) -> ContinuousLatents:
        return self._latents

    def _indices(self, block: Block) -> range:
        first = self.blocks.index(block) * len(self._gains)
        return range(first, first + len(self._gains))

    def variables(self, block: Block) -> list[Tensor]:
        latents = (self._latents[k] for k in self._indices(block))
        return [value * gain for value, gain in zip(latents, self._gains, strict=True)]

    def store(self, block: Block, variables: Sequence[Tensor]) -> None:
        for k, value, gain in zip(self._indices(block), variables, self._gains, strict=True):
            self._latents[k] = value / gain

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        bits = []

        def latent_source(number: int, prior: Prior) -> Tensor:
            residual = variables[number] - prior.mean * prior.gain
            symbols = rounding(residual, prior.log2_scale)
            bits.append(self._bit_cost.total_bits(symbols, scale_index(prior.log2_scale)))
            return prior.value(symbols)

        y_hat = self._decode_top_down(block, latent_source)
        return y_hat, torch.stack(bits).sum()

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        x: Tensor = self._twin.synthesis_net(y_hat)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        return self._model.write_streams(map(self._quantise_block, self.blocks))

    def _quantise_block(self, block: Block) -> CodedBlock:
        latents = [self._latents[k] for k in self._indices(block)]
        return self._model.quantise(lambda number, prior: latents[number], self._rate, block)
