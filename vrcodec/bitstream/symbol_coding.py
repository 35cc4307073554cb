"""Coding the symbols of a latent stream (`vrcodec.bitstream.latent_stream`), with their ties and checksums."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from vrcodec.bitstream.guard_band import Reals, apply_ties, find_ties, round_to_table
from vrcodec.bitstream.latent_stream import LevelEnd, Stream, Tie
from vrcodec.bitstream.rans import (
    SYMBOL_LIMIT,
    CodingTables,
    Indices,
    RansDecoder,
    RansEncoder,
    Symbols,
)
from vrcodec.errors import CorruptError, InputError

if TYPE_CHECKING:
    from vrcodec.bitstream.latent_stream import TableUsage


_MISMATCH = (
    "the decoded symbols do not match their checksum: the file is damaged, or this device computes "
    "differently from the one that made it"
)


_BREAKDOWN = (
    "the model breaks down on this picture, which is like nothing that it has learnt from; store it with "
    "--lossless auto, or try another --model"
)


class StreamWriter:
    """Encodes a `Stream`. Raises InputError for symbols or indices out of range: the model breaks down."""

    def __init__(self) -> None:
        self._encoder = RansEncoder()
        self._ties: list[Tie] = []
        self._guarded = 0
        self._table_usage: TableUsage | None = None
        self._crc = 0
        self._checks: list[int] = []

    def put_static(self, symbols: Symbols, indices: Indices, tables: CodingTables) -> None:
        """Add symbols whose tables do not depend on a network (a factorized prior)."""
        # Infinity and NaN have become integers out of range.
        if ((symbols >= SYMBOL_LIMIT) | (symbols <= -SYMBOL_LIMIT)).any():
            raise InputError(_BREAKDOWN)
        self._encoder.put(symbols, indices, tables)
        self._crc = _extend_crc(self._crc, symbols)

    def put_guarded(self, symbols: Symbols, t: Reals, tables: CodingTables) -> None:
        """Add symbols whose tables a network chose; ``t`` (n,) are its real-valued indices."""
        if not np.isfinite(t).all():
            raise InputError(_BREAKDOWN)
        indices = round_to_table(t, len(tables))
        for tie in find_ties(t, indices, len(tables)):
            self._ties.append(Tie(self._guarded + tie.position, tie.index))
        self._guarded += len(t)
        counts = np.bincount(indices, minlength=len(tables))
        self._table_usage = counts if self._table_usage is None else self._table_usage + counts
        self.put_static(symbols, indices, tables)

    def end_level(self) -> None:
        """End a level that another one follows."""
        self._encoder.mark()
        self._checks.append(_level_check(self._crc))

    def finish(self) -> Stream:
        """The finished stream."""
        if not self._checks:
            return Stream(
                self._encoder.finish(), self._crc, self._ties, table_usage=self._table_usage
            )
        data, sizes = self._encoder.finish_marked()
        ends = [LevelEnd(*end) for end in zip(sizes, self._checks, strict=True)]
        return Stream(data, self._crc, self._ties, ends, self._table_usage)


class StreamReader:
    """Decodes a `Stream`; the calls must mirror those of the writer."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = RansDecoder(stream.data, marked=bool(stream.ends))
        self._level = 0
        self._guarded = 0
        self._crc = 0

    def get_static(self, indices: Indices, tables: CodingTables) -> Symbols:
        """Symbols whose tables do not depend on a network."""
        symbols = self._decoder.get(indices, tables)
        self._crc = _extend_crc(self._crc, symbols)
        return symbols

    def get_guarded(self, t: Reals, tables: CodingTables) -> Symbols:
        """Symbols whose tables ``t`` (n,) chooses, except where a tie names another."""
        first, last = self._guarded, self._guarded + len(t)
        ties = [
            Tie(tie.position - first, tie.index)
            for tie in self._stream.ties
            if first <= tie.position < last
        ]
        self._guarded = last
        indices = apply_ties(round_to_table(t, len(tables)), ties, len(tables))
        return self.get_static(indices, tables)

    def end_level(self) -> None:
        """Check a level; at the last one the whole stream. Raises CorruptError as `finish` does."""
        self._level += 1
        if self._level > len(self._stream.ends):
            self.finish()
            return
        end = self._stream.ends[self._level - 1]
        bytes_left = len(self._stream.data) - end.size
        if _level_check(self._crc) != end.check or self._decoder.words_left() * 4 != bytes_left:
            raise CorruptError(_MISMATCH)

    def finish(self) -> None:
        """Check the whole stream. Raises CorruptError when the symbols are not those that were encoded."""
        if not self._decoder.finished() or self._crc != self._stream.symbols_crc:
            raise CorruptError(_MISMATCH)
        if any(tie.position >= self._guarded for tie in self._stream.ties):
            raise CorruptError("a tie outside the stream")


def _level_check(crc: int) -> int:
    return crc & 0xFFFF


def _extend_crc(crc: int, symbols: Symbols) -> int:
    return zlib.crc32(np.ascontiguousarray(symbols, "<i4").data, crc)
