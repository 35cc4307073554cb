"""FORMAT.md, sections 5 and 7: streams of symbols."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from conformance.reference.container import Cursor, File, require

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TOTAL = 1 << 24


class Tables:
    """A table set: intervals of every table."""

    def __init__(self, frequencies: Integers, sizes: Integers) -> None:
        ends = np.cumsum(sizes)
        self.frequencies = [part.tolist() for part in np.split(frequencies, ends[:-1])]
        self.starts = [[0, *accumulate(table)][:-1] for table in self.frequencies]
        self.halves = (sizes // 2 - 1).tolist()

    def __len__(self) -> int:
        return len(self.halves)


class Stream:
    """Symbols of a block. ``symbols``: those that were read, in decoding order."""

    def __init__(self, data: bytes, ties: Mapping[int, int]) -> None:
        data = data.rstrip(b"\0")
        data += bytes(-len(data) % 4)
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))
        self.state = 0
        for _ in range(min(2, len(self.words))):
            self.state = self.state << 32 | self.words.pop()
        self.ties = ties
        self.guarded = 0
        self.crc = 0
        self.symbols: list[bytes] = []

    def _advance(self, start: int, frequency: int) -> None:
        self.state = (self.state >> 24) * frequency + self.state % TOTAL - start
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def _bits(self, count: int) -> int:
        frequency = TOTAL >> count
        value = self.state % TOTAL // frequency
        self._advance(value * frequency, frequency)
        return value

    def read(self, indices: Integers, tables: Tables) -> Integers:
        """A call: one symbol for each of ``indices`` (n,), which name tables."""
        require(((indices >= 0) & (indices < len(tables))).all(), "no such table")
        symbols = np.zeros(len(indices), np.int64)
        escaped: list[int] = []
        for position in np.argsort(indices, kind="stable").tolist():
            table = indices[position]
            entry = bisect_right(tables.starts[table], self.state % TOTAL) - 1
            self._advance(tables.starts[table][entry], tables.frequencies[table][entry])
            symbols[position] = entry - tables.halves[table]
            if symbols[position] > tables.halves[table]:
                escaped.append(position)
        escaped.sort()
        lengths = [self._bits(5) for _ in escaped]
        require(all(1 <= b <= 20 for b in lengths), "a symbol out of range")
        signs = [-1 if self._bits(1) else 1 for _ in escaped]
        for position, b, sign in zip(escaped, lengths, signs, strict=True):
            v = (1 << (b - 1)) + (self._bits(b - 1) if b > 1 else 0)
            symbols[position] = sign * (tables.halves[indices[position]] + v)
        content = symbols.astype("<i4").tobytes()
        self.crc = zlib.crc32(content, self.crc)
        self.symbols.append(content)
        return symbols

    def read_scaled(self, log2_scale: Reals, tables: Tables) -> Integers:
        """A call whose tables follow from scales, same shape, or from ties."""
        t = (log2_scale + 3) * 16 / 3
        indices = np.floor(t + 0.5).clip(0, len(tables) - 1).astype(np.int64).ravel()
        for position, table in self.ties.items():
            if 0 <= position - self.guarded < len(indices):
                indices[position - self.guarded] = table
        self.guarded += len(indices)
        return self.read(indices, tables).reshape(t.shape)

    def finish(self, crc: int) -> None:
        """Compare the end and the checksum."""
        require(not self.state and not self.words, "symbols beyond the last one")
        require(self.crc == crc, "the symbols do not match their checksum")
        require(all(p < self.guarded for p in self.ties), "a tie behind the last symbol")


def read_ties(cursor: Cursor) -> dict[int, int]:
    """The ties of a stream: positions and tables."""
    count, position, ties = cursor.varint(), 0, dict[int, int]()
    require(count <= 1 << 16, "too many ties")
    for _ in range(count):
        position += cursor.varint()
        require(position not in ties, "two ties of one symbol")
        ties[position] = cursor.number(1)
    return ties


def open_streams(file: File) -> list[tuple[Stream, int]]:
    """Streams of chunks of type 01, and the checksum of the symbols of each."""
    streams, ties = [], 0
    for payload in file.chunks[1]:
        cursor = Cursor(payload)
        crc = cursor.number(4)
        stream = Stream(b"", read_ties(cursor))
        ties += len(stream.ties)
        streams.append((Stream(payload[cursor.position :], stream.ties), crc))
    require(ties <= 1 << 20, "too many ties")
    return streams
