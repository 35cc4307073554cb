"""Coding latents step by step: what encoders and decoders do with the symbols of each step.

A step codes symbols whose tables follow from means and scales that networks predict. A context model asks a
`StepCoder` (`networks.context`) for the symbols of each of its steps, a hierarchy of latents asks a
`LatentSource` (`networks.hierarchy`) for the values of each of its latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.bitstream.guard_band import Reals
from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.networks.context import Pick
from vrcodec.models.networks.hierarchy import LatentSource, Prior
from vrcodec.regions.grid import Block
from vrcodec.timing import stage

# Symbols and real-valued table indices of one step, both (n,).
Step = tuple[Symbols, Reals]


@dataclass(frozen=True)
class CodedBlock:
    """One block of the latent grid as the steps that code it."""

    block: Block
    steps: list[Step]


def make_step(symbols: Tensor, log2_scale: Tensor) -> Step:
    """Symbols and their log2 scales, same shape, as the coder takes them."""
    values: Symbols = symbols.int().cpu().numpy().reshape(-1)
    return values, scale_index(log2_scale).cpu().numpy().reshape(-1)


def read_step(reader: StreamReader, log2_scale: Tensor, tables: CodingTables) -> Tensor:
    """The next symbols of a stream: shape, dtype and device of ``log2_scale``. Raises CorruptError."""
    t = scale_index(log2_scale).cpu().numpy()
    symbols = reader.get_guarded(t.reshape(-1), tables)
    return torch.from_numpy(symbols.reshape(t.shape)).to(log2_scale)


class StepEncoder:
    """The encoder's `StepCoder`: rounds the samples of a block of scaled y, and records the steps."""

    def __init__(self, y: Tensor, rounding: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._y = y
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        with stage("quantisation"):
            residual = pick(self._y) - mean
            symbols = self._round(residual, log2_scale).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(make_step(symbols, log2_scale))
        return symbols


class StepDecoder:
    """The decoder's `StepCoder`: reads symbols from the stream."""

    def __init__(self, reader: StreamReader, tables: CodingTables) -> None:
        self.reader = reader
        self._tables = tables

    def __call__(self, mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        with stage("coding"):
            return read_step(self.reader, log2_scale, self._tables)


class QuantisedSource:
    """The encoder's `LatentSource`: quantises the posterior of a block, and records the steps."""

    def __init__(
        self, posterior: LatentSource, rounding: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self._posterior = posterior
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Tensor:
        with stage("posterior"):
            posterior_mean = self._posterior(number, prior).to(prior.mean)
        with stage("quantisation"):
            residual = prior.residual(posterior_mean)
            symbols = self._round(residual, prior.log2_scale).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(make_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class ReplayedSource:
    """A `LatentSource` of known symbols: records the steps with table indices computed anew."""

    def __init__(self, known: Sequence[Step]) -> None:
        self._known = known
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Tensor:
        values = torch.from_numpy(self._known[number][0]).to(prior.mean)
        symbols = values.reshape(prior.mean.shape)
        self.steps.append(make_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class StreamSource:
    """The decoder's `LatentSource`: reads symbols; of levels that the stream lacks, gives the prior's mean."""

    def __init__(self, stream: Stream, tables: CodingTables) -> None:
        self._reader = StreamReader(stream)
        self._levels = stream.level_count
        self._tables = tables

    def __call__(self, number: int, prior: Prior) -> Tensor:
        if number >= self._levels:
            return prior.mean
        with stage("coding"):
            symbols = read_step(self._reader, prior.log2_scale, self._tables)
            self._reader.end_level()
        return prior.value(symbols)
