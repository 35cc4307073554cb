"""One latent stream: coded symbols, their checksum, and the ties that settle its tables."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from construct import VarInt

from vrcodec.bitstream import schema
from vrcodec.bitstream.guard import Reals, Tie, apply_ties, find_ties, round_to_table
from vrcodec.bitstream.rans import CodingTables, Indices, StreamDecoder, StreamEncoder, Symbols
from vrcodec.bitstream.varint import read_varint
from vrcodec.errors import CorruptError, LimitError

Usage = npt.NDArray[np.int64]

# A picture has one tie in a few million symbols; flat pictures, whose symbols tie together or not at
# all, may have a channel's worth. The bound keeps a hostile file from claiming memory.
MAX_TIES = 1 << 16
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Stream:
    """What the file holds of one block of latents.

    ``symbols_crc`` is the CRC-32 of all symbols, as little-endian int32 in decoding order. ``usage`` is
    not in the file: how many symbols each of the guarded tables coded, for whoever has just encoded them.
    """

    data: bytes
    symbols_crc: int
    ties: list[Tie] = field(default_factory=list)
    usage: Usage | None = field(default=None, compare=False)


class StreamWriter:
    """Encoder's side of a `Stream`."""

    def __init__(self) -> None:
        self._encoder = StreamEncoder()
        self._ties: list[Tie] = []
        self._guarded = 0
        self._usage: Usage | None = None
        self._crc = 0

    def put_static(self, symbols: Symbols, indices: Indices, tables: CodingTables) -> None:
        """Add symbols whose tables are known beforehand (a factorized prior)."""
        self._encoder.put(symbols, indices, tables)
        self._crc = _extend_crc(self._crc, symbols)

    def put_guarded(self, symbols: Symbols, t: Reals, tables: CodingTables) -> None:
        """Add symbols whose tables a network chose; ``t`` (n,) are its real-valued indices."""
        indices = round_to_table(t, len(tables))
        for tie in find_ties(t, indices, len(tables)):
            self._ties.append(Tie(self._guarded + tie.position, tie.index))
        self._guarded += len(t)
        used = np.bincount(indices, minlength=len(tables))
        self._usage = used if self._usage is None else self._usage + used
        self.put_static(symbols, indices, tables)

    def finish(self) -> Stream:
        """The finished stream."""
        return Stream(self._encoder.finish(), self._crc, self._ties, self._usage)


class StreamReader:
    """Decoder's side of a `Stream`; the calls must mirror those of the writer."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = StreamDecoder(stream.data)
        self._guarded = 0
        self._crc = 0

    def get_static(self, indices: Indices, tables: CodingTables) -> Symbols:
        """Symbols whose tables are known beforehand."""
        symbols = self._decoder.get(indices, tables)
        self._crc = _extend_crc(self._crc, symbols)
        return symbols

    def get_guarded(self, t: Reals, tables: CodingTables) -> Symbols:
        """Symbols whose tables ``t`` (n,) chooses, except where a tie overrules it."""
        first, last = self._guarded, self._guarded + len(t)
        here = [
            Tie(tie.position - first, tie.index)
            for tie in self._stream.ties
            if first <= tie.position < last
        ]
        self._guarded = last
        indices = apply_ties(round_to_table(t, len(tables)), here, len(tables))
        return self.get_static(indices, tables)

    def finish(self) -> None:
        """Check the whole. Raises CorruptError when the symbols are not those that were encoded."""
        if not self._decoder.finished() or self._crc != self._stream.symbols_crc:
            raise CorruptError(
                "the decoded symbols do not match their checksum: the file is damaged, or this "
                "device computes differently from the one that made it"
            )
        if any(tie.position >= self._guarded for tie in self._stream.ties):
            raise CorruptError("a tie outside the stream")


def _extend_crc(crc: int, symbols: Symbols) -> int:
    return zlib.crc32(np.ascontiguousarray(symbols, "<i4").data, crc)


def build_stream(stream: Stream) -> bytes:
    """Payload of a stream chunk."""
    if len(stream.ties) > MAX_TIES:
        raise LimitError("the picture needs more ties than the format allows")
    checksum: bytes = schema.Checksum.build(stream.symbols_crc)
    parts, previous = [checksum, VarInt.build(len(stream.ties))], 0
    for tie in stream.ties:
        parts += [VarInt.build(tie.position - previous), bytes([tie.index])]
        previous = tie.position
    return b"".join([*parts, stream.data])


def parse_stream(payload: bytes) -> Stream:
    """Inverse of `build_stream`. Raises CorruptError."""
    if len(payload) < _CHECKSUM_BYTES:
        raise CorruptError("a latent stream is incomplete")
    crc = schema.Checksum.parse(payload[:_CHECKSUM_BYTES])
    count, cursor = read_varint(payload, _CHECKSUM_BYTES)
    if count > MAX_TIES:
        raise CorruptError("a stream claims more ties than the format allows")
    position, ties = 0, []
    for _ in range(count):
        skip, cursor = read_varint(payload, cursor)
        if cursor >= len(payload):
            raise CorruptError("a latent stream is incomplete")
        position += skip
        ties.append(Tie(position, payload[cursor]))
        cursor += 1
    return Stream(payload[cursor:], crc, ties)
