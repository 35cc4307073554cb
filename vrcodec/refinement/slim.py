"""The surrogate of `slim`: y is refined.

The tables of `slim` follow from integers, so the effect of a symbol on the tables of others has no gradient. An
approximate one, interpolated from the tables of neighbouring classes, made the result worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import Symbols
from vrcodec.models.base import Latents
from vrcodec.models.families.slim import Slim, WidthRateParameters
from vrcodec.rate import rate_from_code
from vrcodec.refinement.bit_cost import BitCostTables
from vrcodec.refinement.surrogate import ContinuousLatents, Rounding, Surrogate
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.regions.window import crop_to


class SlimSurrogate(Surrogate):
    """``initial``: the latents of another surrogate of the same picture, in place of those of the analysis.

    It is ignored if its width was another.
    """

    def __init__(
        self,
        model: Slim,
        latents: Latents,
        rate: WidthRateParameters,
        initial: ContinuousLatents | None,
    ) -> None:
        self._model, self._rate, self._width = model, rate, model.loaded_width(rate.width)
        y = model.analyse_at_width(latents, rate.width).clone()
        if initial is not None and initial[0].shape == y.shape:
            y = initial[0].clone()
        self._gain, self._inverse_gain = rate.gain.to(y), rate.inverse_gain.to(y)
        self._centres = self._width.rounding_centres(self._gain)
        self._log2_scales = self._width.log2_scales(self._gain)
        self._y = y * self._gain - self._centres
        self._bit_cost = BitCostTables(self._width.tables, y.device)
        self._synthesis_net = model.network(rate.width, "synthesis_net")
        reach = dict(zip(model.size.widths, model.size.reach, strict=True))[rate.width]
        level = y.new_full((1, 1, 1, 1), rate_from_code(rate.level) * reach)
        super().__init__(LatentGrid(*y.shape[-2:]), level)

    def continuous_latents(self) -> ContinuousLatents:
        return [(self._y + self._centres) / self._gain]

    def variables(self, block: Block) -> list[Tensor]:
        return [crop_to(self._y, block).clone()]

    def store(self, block: Block, variables: Sequence[Tensor]) -> None:
        crop_to(self._y, block).copy_(variables[0])

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        symbols = rounding(variables[0], self._log2_scales)
        tables, predictions = self._prior_parameters(symbols)
        bits = self._bit_cost.total_bits(symbols - predictions, tables)
        return (symbols + self._centres) * self._inverse_gain, bits

    def _prior_parameters(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """Tables and predictions of the prior for the nearest integers, each of the shape of ``symbols``."""
        integers = symbols.detach().round()[0].int().cpu().numpy()
        tables, predictions = np.zeros_like(integers), np.zeros_like(integers)
        for part in self._width.passes(integers, self._rate.level):
            tables[part.channels, part.mask] = part.tables
            predictions[part.channels, part.mask] = part.prediction

        def to_tensor(array: Symbols) -> Tensor:
            return torch.from_numpy(array).to(symbols).unsqueeze(0)

        return to_tensor(tables), to_tensor(predictions)

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        x: Tensor = self._synthesis_net(y_hat)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        latents = (self._y + self._centres) / self._gain
        return self._model.write_streams(self._model.quantise(latents, self._rate), self._rate)
