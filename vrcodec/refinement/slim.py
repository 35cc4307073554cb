"""`slim`: y is refined.

Its tables follow from integers: what a symbol does to the tables of others has no gradient. One that was put
together from the tables of neighbouring classes made the search worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.models.base import Latents
from vrcodec.models.families.slim import Slim, WidthState
from vrcodec.rate import rate_from_code
from vrcodec.refinement.bit_cost import Prices
from vrcodec.refinement.surrogate import Rounding, Surrogate, Wanted
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.regions.window import cut


class SlimSurrogate(Surrogate):
    """``start``: what another one has found, in place of what the networks say, if that had the same width."""

    def __init__(
        self, model: Slim, latents: Latents, rate: WidthState, start: Wanted | None
    ) -> None:
        self._coder, self._rate, self._own = model, rate, model.own(rate.width)
        y = model.narrow_analysis(latents, rate.width).clone()
        if start is not None and start[0].shape == y.shape:
            y = start[0].clone()
        self._gain, self._inverse = rate.gain.to(y), rate.inverse_gain.to(y)
        self._centres = self._own.centres(self._gain)
        self._log2_scales = self._own.log2_scales(self._gain)
        self._y = y * self._gain - self._centres
        self._prices = Prices(self._own.tables, y.device)
        self._net = model.network(rate.width, "synthesis_net")
        reach = dict(zip(model.size.widths, model.size.reach, strict=True))[rate.width]
        level = y.new_full((1, 1, 1, 1), rate_from_code(rate.level) * reach)
        super().__init__(LatentGrid(*y.shape[-2:]), level)

    def wanted(self) -> Wanted:
        return [(self._y + self._centres) / self._gain]

    def variables(self, block: Block) -> list[Tensor]:
        return [cut(self._y, block).clone()]

    def keep(self, block: Block, variables: Sequence[Tensor]) -> None:
        cut(self._y, block).copy_(variables[0])

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        symbols = rounding(variables[0], self._log2_scales)
        tables, predictions = self._seen(symbols)
        bits = self._prices.total(symbols - predictions, tables)
        return (symbols + self._centres) * self._inverse, bits

    def _seen(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """Tables and predictions that the prior has for the nearest integers."""
        integers = symbols.detach().round()[0].int().cpu().numpy()
        tables, predictions = np.zeros_like(integers), np.zeros_like(integers)
        for part in self._own.passes(integers, self._rate.level):
            tables[part.channels, part.where] = part.tables
            predictions[part.channels, part.where] = part.prediction
        found = (torch.from_numpy(n).to(symbols).unsqueeze(0) for n in (tables, predictions))
        return next(found), next(found)

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        x: Tensor = self._net(y_hat)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        latents = (self._y + self._centres) / self._gain
        return self._coder.code(self._coder.quantise(latents, self._rate), self._rate)
