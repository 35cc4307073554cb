"""The latent stream of one block, as in the file: coded symbols, their checksum, and its ties.

A tie names the table of a symbol on which devices might disagree (`vrcodec.bitstream.guard_band`). Structure
only, without numpy; `vrcodec.bitstream.symbol_coding` codes the symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from construct import VarInt

from vrcodec.bitstream import schema
from vrcodec.bitstream.schema import read_varint
from vrcodec.errors import CorruptError, LimitError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    TableUsage = npt.NDArray[np.int64]

# A picture has one tie in a few million symbols; flat pictures, whose symbols tie together or not at
# all, may have a channel's worth. The bound keeps a hostile file from claiming memory.
MAX_TIES = 1 << 16
# Of all streams together.
MAX_TIES_OF_PICTURE = 1 << 20
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tie:
    """Symbol ``position`` of a stream, near a rounding boundary, was coded with table ``index``."""

    position: int
    index: int


@dataclass(frozen=True, slots=True)
class LevelEnd:
    """Where a level of a stream ends: its first ``size`` bytes hold this level and those before.

    ``check``: the lower 16 bits of the CRC-32 of all symbols up to there.
    """

    size: int
    check: int


@dataclass(frozen=True)
class Stream:
    """The coded latents of one block.

    ``symbols_crc`` is the CRC-32 of all symbols, as little-endian int32 in decoding order. ``ends``: of the
    levels, if there are several, but for the last one, which ends with the stream. A stream truncated behind
    one of these has no ``symbols_crc``. ``table_usage``: how many symbols each of the guarded tables coded;
    known to the encoder only, not in the file.
    """

    data: bytes
    symbols_crc: int | None
    ties: list[Tie] = field(default_factory=list)
    ends: list[LevelEnd] = field(default_factory=list)
    table_usage: TableUsage | None = field(default=None, compare=False)

    @property
    def level_count(self) -> int:
        """How many levels it holds."""
        return len(self.ends) + (self.symbols_crc is not None)

    def truncate(self, levels: int) -> Stream:
        """Its first ``levels`` levels, 1 at least."""
        if levels >= self.level_count:
            return self
        ends = self.ends[:levels]
        return Stream(self.data[: ends[-1].size], None, self.ties, ends)


def build_stream(stream: Stream) -> bytes:
    """Payload of a stream chunk: a whole stream of one level."""
    return b"".join([schema.Checksum.build(stream.symbols_crc), build_ties(stream), stream.data])


def parse_stream(payload: bytes) -> Stream:
    """Inverse of `build_stream`. Raises CorruptError."""
    if len(payload) < _CHECKSUM_BYTES:
        raise CorruptError("a latent stream is incomplete")
    crc = int.from_bytes(payload[:_CHECKSUM_BYTES], "little")
    ties, cursor = parse_ties(payload, _CHECKSUM_BYTES)
    return Stream(payload[cursor:], crc, ties)


def parse_streams(payloads: Iterable[bytes]) -> Iterator[Stream]:
    """`parse_stream` of all streams of a picture. Raises CorruptError or LimitError."""
    return _limit_ties(map(parse_stream, payloads))


def build_streams(streams: Iterable[Stream]) -> Iterator[bytes]:
    """`build_stream` of all streams of a picture. Raises LimitError."""
    return map(build_stream, _limit_ties(streams))


def _limit_ties(streams: Iterable[Stream]) -> Iterator[Stream]:
    count = 0
    for stream in streams:
        count += len(stream.ties)
        check_picture_ties(count)
        yield stream


def read_tie_count(payload: bytes) -> int:
    """The number of ties that the payload of a stream claims. Raises CorruptError."""
    return read_varint(payload, _CHECKSUM_BYTES)[0]


def check_picture_ties(count: int) -> None:
    """Raise LimitError for more ties than all streams of a picture may have."""
    if count > MAX_TIES_OF_PICTURE:
        raise LimitError("the picture needs more ties than the format allows")


def build_ties(stream: Stream) -> bytes:
    """Serialise the ties of a stream: their number; for each, distance from the one before, and table."""
    if len(stream.ties) > MAX_TIES:
        raise LimitError("the picture needs more ties than the format allows")
    parts, previous = [VarInt.build(len(stream.ties))], 0
    for tie in stream.ties:
        parts += [VarInt.build(tie.position - previous), bytes([tie.index])]
        previous = tie.position
    return b"".join(parts)


def parse_ties(payload: bytes, cursor: int) -> tuple[list[Tie], int]:
    """The ties at ``cursor``, in ascending order, and the cursor behind them. Raises CorruptError."""
    count, cursor = read_varint(payload, cursor)
    if count > MAX_TIES:
        raise CorruptError("a stream claims more ties than the format allows")
    position, ties = 0, list[Tie]()
    for _ in range(count):
        distance, cursor = read_varint(payload, cursor)
        if cursor >= len(payload):
            raise CorruptError("a latent stream is incomplete")
        if ties and not distance:
            raise CorruptError("damaged: two ties of one symbol")
        position += distance
        ties.append(Tie(position, payload[cursor]))
        cursor += 1
    return ties, cursor
