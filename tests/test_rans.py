"""The entropy coder against a plain Python coder, and round trips of anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.bitstream.information_content import total_bits
from vrcodec.bitstream.rans import (
    SYMBOL_LIMIT,
    CodingTables,
    RansDecoder,
    RansEncoder,
)
from vrcodec.bitstream.tables import (
    PRECISION_BITS,
    TableSet,
    gaussian_tables,
    quantise_pmf,
    stack_tables,
)
from vrcodec.errors import CorruptError

TABLES = CodingTables(gaussian_tables())
MASK = 2**32 - 1


def reference_push(state: int, words: list[int], start: int, frequency: int) -> int:
    """One step of rANS as docs/FORMAT.md writes it: 64-bit state, 32-bit words, 24-bit precision."""
    if state >> (64 - PRECISION_BITS) >= frequency:
        words.append(state & MASK)
        state >>= 32
    return (state // frequency << PRECISION_BITS) + start + state % frequency


def reference_encode(steps: list[tuple[int, int]]) -> bytes:
    """Code (start, frequency) pairs that are to be decoded in this order."""
    state, words = 0, []
    for start, frequency in reversed(steps):
        state = reference_push(state, words, start, frequency)
    while state:
        words.append(state & MASK)
        state >>= 32
    return np.array(words, "<u4").tobytes().rstrip(b"\0")


def interval(table: np.ndarray, entry: int) -> tuple[int, int]:
    return int(table[:entry].sum()), int(table[entry])


def uniform(value: int, bits: int) -> tuple[int, int]:
    width = 1 << (PRECISION_BITS - bits)
    return value * width, width


def reference_steps(
    symbols: list[int], indices: list[int], tables: TableSet
) -> list[tuple[int, int]]:
    """The order of docs/FORMAT.md: symbols by table, then lengths, signs and low bits of escapes."""
    steps, escapes = [], []
    for table in sorted(set(indices)):
        row = tables.table(table)
        half = len(row) // 2 - 1
        for symbol, index in zip(symbols, indices, strict=True):
            if index == table:
                inside = abs(symbol) <= half
                steps.append(interval(row, symbol + half if inside else 2 * half + 1))
    for symbol, index in zip(symbols, indices, strict=True):
        half = len(tables.table(index)) // 2 - 1
        if abs(symbol) > half:
            escapes.append((symbol, abs(symbol) - half))
    steps += [uniform(rest.bit_length(), 5) for _, rest in escapes]
    steps += [uniform(int(symbol < 0), 1) for symbol, _ in escapes]
    for _, rest in escapes:
        bits = rest.bit_length() - 1
        if bits:
            steps.append(uniform(rest - (1 << bits), bits))
    return steps


def encode(symbols: list[int], indices: list[int], tables: CodingTables = TABLES) -> bytes:
    encoder = RansEncoder()
    encoder.put(np.array(symbols, np.int32), np.array(indices, np.int16), tables)
    return encoder.finish()


symbol_lists = st.lists(
    st.tuples(
        st.one_of(st.integers(-5, 5), st.integers(-SYMBOL_LIMIT, SYMBOL_LIMIT)),
        st.integers(0, len(TABLES) - 1),
    ),
    max_size=60,
)


@given(symbol_lists)
def test_bytes_are_those_of_the_plain_coder(pairs: list[tuple[int, int]]) -> None:
    symbols, indices = [p[0] for p in pairs], [p[1] for p in pairs]
    steps = reference_steps(symbols, indices, TABLES.source)
    assert encode(symbols, indices) == reference_encode(steps)


@given(symbol_lists)
def test_round_trip(pairs: list[tuple[int, int]]) -> None:
    symbols, indices = [p[0] for p in pairs], [p[1] for p in pairs]
    decoder = RansDecoder(encode(symbols, indices))
    decoded = decoder.get(np.array(indices, np.int16), TABLES)
    assert decoded.tolist() == symbols
    assert decoder.finished()


def test_several_calls_share_a_stream() -> None:
    random = np.random.default_rng(0)
    own = CodingTables(stack_tables([quantise_pmf(np.array([0.2, 0.5, 0.2]), 0.1)] * 3))
    calls = [
        (random.integers(-9, 10, 50).astype(np.int32), random.integers(0, len(t), 50), t)
        for t in (own, TABLES, own)
    ]
    encoder = RansEncoder()
    for symbols, indices, tables in calls:
        encoder.put(symbols, indices, tables)
    decoder = RansDecoder(encoder.finish())
    for symbols, indices, tables in calls:
        assert decoder.get(indices, tables).tolist() == symbols.tolist()
    assert decoder.finished()


def test_cost_is_the_information_content() -> None:
    random = np.random.default_rng(1)
    indices = random.integers(0, len(TABLES), 20_000)
    scales = 2.0 ** (-3 + indices * 3 / 16)
    symbols = np.rint(random.normal(0, scales)).astype(np.int32)
    bits = total_bits(symbols, indices, TABLES)
    written = 8 * len(encode(symbols.tolist(), indices.tolist()))
    assert bits <= written <= bits * 1.001 + 32


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_decode_or_are_refused(data: bytes, count: int) -> None:
    indices = np.arange(count) % len(TABLES)
    try:
        symbols = RansDecoder(data).get(indices, TABLES)
    except CorruptError:
        return
    assert symbols.shape == (count,)


def test_index_outside_the_tables_is_refused() -> None:
    with pytest.raises(CorruptError):
        RansDecoder(b"1234").get(np.array([len(TABLES)]), TABLES)
