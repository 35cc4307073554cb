"""Where the values of a hierarchy of latents come from in coding: an `Exchange` of `networks.hierarchy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, CodingTables
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.models.coding.symbols import Step, coded_step, read_step
from vrcodec.models.networks.hierarchy import Exchange, Prior
from vrcodec.timing import stage


class Quantising:
    """The encoder's exchange: rounds what is wanted of a block, and keeps what is to be coded."""

    def __init__(self, wanted: Exchange, rounding: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._wanted = wanted
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Tensor:
        with stage("posterior"):
            wanted = self._wanted(number, prior).to(prior.mean)
        with stage("quantisation"):
            residual = prior.residual(wanted)
            symbols = self._round(residual, prior.log2_scale).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(coded_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class Replaying:
    """An exchange that knows the symbols, and keeps what tables they would get."""

    def __init__(self, known: Sequence[Step]) -> None:
        self._known = known
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Tensor:
        values = torch.from_numpy(self._known[number][0]).to(prior.mean)
        symbols = values.reshape(prior.mean.shape)
        self.steps.append(coded_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class Reading:
    """The decoder's exchange: reads symbols from the stream, as far as that goes."""

    def __init__(self, stream: Stream, tables: CodingTables) -> None:
        self._reader = StreamReader(stream)
        self._levels = stream.levels
        self._tables = tables

    def __call__(self, number: int, prior: Prior) -> Tensor:
        if number >= self._levels:
            return prior.mean
        with stage("coding"):
            symbols = read_step(self._reader, prior.log2_scale, self._tables)
            self._reader.end_level()
        return prior.value(symbols)
