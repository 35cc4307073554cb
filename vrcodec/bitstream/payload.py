"""One latent stream as a file holds it: coded symbols, their checksum, and the ties that settle its tables.

Structure only, without numpy; `vrcodec.bitstream.symbol_coding` codes the symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from construct import VarInt

from vrcodec.bitstream import schema
from vrcodec.bitstream.varint import read_varint
from vrcodec.errors import CorruptError, LimitError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Usage = npt.NDArray[np.int64]

# A picture has one tie in a few million symbols; flat pictures, whose symbols tie together or not at
# all, may have a channel's worth. The bound keeps a hostile file from claiming memory.
MAX_TIES = 1 << 16
# Of all streams together.
MAX_TIES_OF_PICTURE = 1 << 20
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tie:
    """Symbol ``position`` of a stream, too close to call, was coded with table ``index``."""

    position: int
    index: int


@dataclass(frozen=True, slots=True)
class LevelEnd:
    """Where a level of a stream ends: ``size`` bytes suffice to decode it and those before.

    ``check``: the lower 16 bits of the CRC-32 of all symbols up to there.
    """

    size: int
    check: int


@dataclass(frozen=True)
class Stream:
    """What the file holds of one block of latents.

    ``symbols_crc`` is the CRC-32 of all symbols, as little-endian int32 in decoding order. ``ends``: of the
    levels, if there are several, but for the last one, which ends with the stream. A stream that was cut
    behind one of these has no ``symbols_crc``. ``usage`` is not in the file: how many symbols each of the
    guarded tables coded, for whoever has just encoded them.
    """

    data: bytes
    symbols_crc: int | None
    ties: list[Tie] = field(default_factory=list)
    ends: list[LevelEnd] = field(default_factory=list)
    usage: Usage | None = field(default=None, compare=False)

    @property
    def levels(self) -> int:
        """How many levels it holds."""
        return len(self.ends) + (self.symbols_crc is not None)

    def cut(self, levels: int) -> Stream:
        """Its first ``levels`` levels, 1 at least."""
        if levels >= self.levels:
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
    return _with_few_ties(map(parse_stream, payloads))


def build_streams(streams: Iterable[Stream]) -> Iterator[bytes]:
    """`build_stream` of all streams of a picture. Raises LimitError."""
    return map(build_stream, _with_few_ties(streams))


def _with_few_ties(streams: Iterable[Stream]) -> Iterator[Stream]:
    ties = 0
    for stream in streams:
        ties += len(stream.ties)
        check_tie_count(ties)
        yield stream


def tie_count(payload: bytes) -> int:
    """How many ties a stream says that it has. Raises CorruptError."""
    return read_varint(payload, _CHECKSUM_BYTES)[0]


def check_tie_count(ties: int) -> None:
    """Raise LimitError for more ``ties`` than a picture may have."""
    if ties > MAX_TIES_OF_PICTURE:
        raise LimitError("the picture needs more ties than the format allows")


def build_ties(stream: Stream) -> bytes:
    """The ties of a stream: their number, and of each the distance from the one before and the table."""
    if len(stream.ties) > MAX_TIES:
        raise LimitError("the picture needs more ties than the format allows")
    parts, previous = [VarInt.build(len(stream.ties))], 0
    for tie in stream.ties:
        parts += [VarInt.build(tie.position - previous), bytes([tie.index])]
        previous = tie.position
    return b"".join(parts)


def parse_ties(payload: bytes, cursor: int) -> tuple[list[Tie], int]:
    """The ties at ``cursor``, each behind the one before, and what follows them. Raises CorruptError."""
    count, cursor = read_varint(payload, cursor)
    if count > MAX_TIES:
        raise CorruptError("a stream claims more ties than the format allows")
    position, ties = 0, list[Tie]()
    for _ in range(count):
        skip, cursor = read_varint(payload, cursor)
        if cursor >= len(payload):
            raise CorruptError("a latent stream is incomplete")
        if ties and not skip:
            raise CorruptError("damaged: two ties of one symbol")
        position += skip
        ties.append(Tie(position, payload[cursor]))
        cursor += 1
    return ties, cursor
