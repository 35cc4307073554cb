"""Streams: symbols, checksum and ties travel together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extent import extent
from vrcodec.bitstream import latent_stream as payload_module
from vrcodec.bitstream.latent_stream import (
    MAX_TIES,
    MAX_TIES_OF_PICTURE,
    Stream,
    Tie,
    build_stream,
    build_streams,
    parse_stream,
    parse_streams,
)
from vrcodec.bitstream.progressive import parse_progressive
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.errors import CorruptError, LimitError

TABLES = CodingTables(gaussian_tables())
SYMBOLS = np.array([0, -3, 9, 1], np.int32)
# The third value sits on a boundary.
T = np.array([3.2, 40.0, 10.5, 63.9])


def written() -> Stream:
    writer = StreamWriter()
    writer.put_static(SYMBOLS, np.array([1, 2, 3, 4], np.int16), TABLES)
    writer.put_guarded(SYMBOLS, T, TABLES)
    return writer.finish()


def read(stream: Stream, t: np.ndarray) -> np.ndarray:
    reader = StreamReader(stream)
    reader.get_static(np.array([1, 2, 3, 4], np.int16), TABLES)
    symbols = reader.get_guarded(t, TABLES)
    reader.finish()
    return symbols


def test_a_tie_is_recorded_and_overrules_the_reader() -> None:
    stream = written()
    assert stream.ties == [Tie(2, 11)]
    noisy = T - np.array([0, 0, 1e-14, 0])
    assert read(stream, noisy).tolist() == SYMBOLS.tolist()


def test_a_reader_that_computes_differently_is_told() -> None:
    with pytest.raises(CorruptError, match="checksum"):
        read(written(), T - 1.0)


def test_other_symbols_fail_the_checksum() -> None:
    stream = written()
    with pytest.raises(CorruptError):
        read(Stream(stream.data, stream.symbols_crc ^ 1, stream.ties), T)


def test_a_tie_beyond_the_last_symbol_is_refused() -> None:
    stream = written()
    with pytest.raises(CorruptError):
        read(Stream(stream.data, stream.symbols_crc, [*stream.ties, Tie(99, 1)]), T)


@given(
    st.binary(max_size=50),
    st.integers(0, 2**32 - 1),
    st.dictionaries(st.integers(0, 10**7), st.integers(0, 255), max_size=5),
)
def test_payload_round_trip(data: bytes, crc: int, ties: dict[int, int]) -> None:
    ordered = [Tie(*tie) for tie in sorted(ties.items())]
    stream = Stream(data, crc, ordered)
    assert parse_stream(build_stream(stream)) == stream


@given(st.binary(max_size=40))
def test_any_payload_parses_or_is_refused(payload: bytes) -> None:
    try:
        stream = parse_stream(payload)
    except CorruptError:
        return
    assert len(stream.ties) <= MAX_TIES


def test_the_number_of_ties_is_bounded_on_both_sides() -> None:
    with pytest.raises(LimitError):
        build_stream(Stream(b"", 0, [Tie(0, 0)] * (MAX_TIES + 1)))
    claimed = (MAX_TIES + 1) | 0
    varint = bytes([claimed & 0x7F | 0x80, claimed >> 7 & 0x7F | 0x80, claimed >> 14])
    with pytest.raises(CorruptError):
        parse_stream(b"\0\0\0\0" + varint + b"\0" * 400_000)


def test_two_ties_of_one_symbol_are_refused() -> None:
    with pytest.raises(CorruptError, match="two ties"):
        parse_stream(build_stream(Stream(b"", 0, [Tie(7, 1), Tie(7, 2)])))


def test_the_ties_of_all_streams_together_are_bounded_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs a reader many times the two bytes that it takes in the file."""
    stream = Stream(b"", 0, [Tie(position, 1) for position in range(MAX_TIES)])
    count = extent(2, MAX_TIES_OF_PICTURE // MAX_TIES)
    monkeypatch.setattr(payload_module, "MAX_TIES_OF_PICTURE", count * MAX_TIES)
    payload = build_stream(stream)
    assert len(list(parse_streams([payload] * count))) == count
    with pytest.raises(LimitError):
        list(parse_streams([payload] * (count + 1)))
    with pytest.raises(LimitError):
        list(build_streams([stream] * (count + 1)))
    progressive = bytes([2]) + payload[4:] * (count + 1)
    with pytest.raises(LimitError):
        parse_progressive(progressive, count + 1)
