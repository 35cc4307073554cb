"""Coding latents step by step: what encoders and decoders do with the symbols of each step.

A step codes symbols whose tables follow from means and scales that networks predict. A context model asks a
`StepCoder` (`networks.context`) for the symbols of each of its steps, a hierarchy of latents asks a
`LatentSource` (`networks.hierarchy`) for the values of each of its latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vrcodec.bitstream.guard_band import Reals
from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.kernels import Array, kernels_of
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


def make_step(symbols: Array, log2_scale: Array) -> Step:
    """Symbols and their log2 scales, same shape, as the coder takes them."""
    kernels = kernels_of(symbols)
    return kernels.int32(symbols).reshape(-1), _table_indices(log2_scale).reshape(-1)


def _table_indices(log2_scale: Array) -> Reals:
    """Real-valued table indices for log2 scales, same shape, on the CPU."""
    indices: Reals = kernels_of(log2_scale).to_numpy(scale_index(log2_scale))
    return indices


def read_step(reader: StreamReader, log2_scale: Array, tables: CodingTables) -> Array:
    """The next symbols of a stream: shape, dtype and device of ``log2_scale``. Raises CorruptError."""
    t = _table_indices(log2_scale)
    symbols = reader.get_guarded(t.reshape(-1), tables)
    return _as_array(symbols.reshape(t.shape), log2_scale)


def _as_array(symbols: Symbols, like: Array) -> Array:
    """Symbols in the type of ``like``, and where that is."""
    kernels = kernels_of(like)
    return kernels.like(kernels.array(symbols), like)


class StepEncoder:
    """The encoder's `StepCoder`: rounds the samples of a block of scaled y, and records the steps."""

    def __init__(self, y: Array, rounding: Callable[[Array, Array], Array]) -> None:
        self._y = y
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, mean: Array, log2_scale: Array, pick: Pick) -> Array:
        with stage("quantisation"):
            residual = pick(self._y) - mean
            symbols = self._round(residual, log2_scale).clip(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(make_step(symbols, log2_scale))
        return symbols


class StepDecoder:
    """The decoder's `StepCoder`: reads symbols from the stream."""

    def __init__(self, reader: StreamReader, tables: CodingTables) -> None:
        self.reader = reader
        self._tables = tables

    def __call__(self, mean: Array, log2_scale: Array, pick: Pick) -> Array:
        with stage("coding"):
            return read_step(self.reader, log2_scale, self._tables)


class QuantisedSource:
    """The encoder's `LatentSource`: quantises the posterior of a block, and records the steps."""

    def __init__(self, posterior: LatentSource, rounding: Callable[[Array, Array], Array]) -> None:
        self._posterior = posterior
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Array:
        with stage("posterior"):
            kernels = kernels_of(prior.mean)
            posterior_mean = kernels.like(self._posterior(number, prior), prior.mean)
        with stage("quantisation"):
            residual = prior.residual(posterior_mean)
            symbols = self._round(residual, prior.log2_scale).clip(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(make_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class ReplayedSource:
    """A `LatentSource` of known symbols: records the steps with table indices computed anew."""

    def __init__(self, known: Sequence[Step]) -> None:
        self._known = known
        self.steps: list[Step] = []

    def __call__(self, number: int, prior: Prior) -> Array:
        symbols = _as_array(self._known[number][0].reshape(prior.mean.shape), prior.mean)
        self.steps.append(make_step(symbols, prior.log2_scale))
        return prior.value(symbols)


class StreamSource:
    """The decoder's `LatentSource`: reads symbols; of levels that the stream lacks, gives the prior's mean."""

    def __init__(self, stream: Stream, tables: CodingTables) -> None:
        self._reader = StreamReader(stream)
        self._levels = stream.level_count
        self._tables = tables

    def __call__(self, number: int, prior: Prior) -> Array:
        if number >= self._levels:
            return prior.mean
        with stage("coding"):
            symbols = read_step(self._reader, prior.log2_scale, self._tables)
            self._reader.end_level()
        return prior.value(symbols)
