"""Information content of coded symbols, -log2 of their probabilities, to compare with the bytes written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vrcodec.bitstream.guard_band import Reals
from vrcodec.bitstream.rans import CodingTables, Indices, RansEncoder, Symbols
from vrcodec.bitstream.tables import PRECISION_BITS

# An escape is followed by 5 bits of length, a sign, and all bits of the value but the first.
_ESCAPE_FIXED_BITS = 6


def total_bits(symbols: Symbols, indices: Indices, tables: CodingTables) -> float:
    """Bits that an ideal coder spends on ``symbols`` (n,) with these tables."""
    return float(symbol_bits(symbols, indices, tables).sum())


def symbol_bits(symbols: Symbols, indices: Indices, tables: CodingTables) -> Reals:
    """The bits of each symbol, (n,) float64."""
    half = tables.halves[indices]
    escaped = np.abs(symbols) > half
    entries = np.where(escaped, 2 * half + 1, symbols + half)
    starts = np.concatenate(([0], np.cumsum(tables.source.sizes)))
    frequencies = tables.source.frequencies[starts[indices] + entries]
    bits: Reals = PRECISION_BITS - np.log2(frequencies)
    rest = (np.abs(symbols) - half)[escaped]
    bits[escaped] += np.floor(np.log2(rest)) + _ESCAPE_FIXED_BITS
    return bits


@contextmanager
def record_bits() -> Iterator[list[float]]:
    """Inside, the yielded list receives the `total_bits` of everything that is encoded."""
    counts: list[float] = []
    original = RansEncoder.put

    def put(self: RansEncoder, symbols: Symbols, indices: Indices, tables: CodingTables) -> None:
        counts.append(total_bits(symbols, indices, tables))
        original(self, symbols, indices, tables)

    RansEncoder.put = put  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        RansEncoder.put = original  # type: ignore[method-assign]
