"""The streams of a picture whose latents come in levels, coarse to fine.

The file holds the first level of all blocks, then the second one, and so on: every prefix of it is a picture.
One rANS stream runs through all levels of a block, so that a level costs two bytes and its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from construct import VarInt

from vrcodec.bitstream import schema
from vrcodec.bitstream.payload import (
    LevelEnd,
    Stream,
    Tie,
    build_ties,
    check_tie_count,
    parse_ties,
)
from vrcodec.bitstream.varint import read_varint
from vrcodec.errors import CorruptError

# Far more than any model has.
MAX_LEVELS = 64


@dataclass(frozen=True)
class Ladder:
    """``streams``: one a block, each with the levels that are there. ``levels``: how many there were once.

    ``sizes``: bytes of each level that is there, over all blocks, with what describes it.
    """

    streams: list[Stream]
    levels: int
    sizes: list[int]


def build_ladder(streams: Sequence[Stream]) -> bytes:
    """Payload of a ladder chunk: whole streams of as many levels each."""
    levels = streams[0].levels
    parts = [bytes([levels]), *map(build_ties, streams)]
    for level in range(levels):
        spans = [_span(stream, level) for stream in streams]
        for stream, span in zip(streams, spans, strict=True):
            parts += [VarInt.build(len(span)), _build_check(stream, level)]
        parts += spans
    return b"".join(parts)


def _span(stream: Stream, level: int) -> bytes:
    """The bytes that a level adds to those before."""
    ends = [0, *(end.size for end in stream.ends), len(stream.data)]
    return stream.data[ends[level] : ends[level + 1]]


def _build_check(stream: Stream, level: int) -> bytes:
    last = level == len(stream.ends)
    layout = schema.Checksum if last else schema.LevelCheck
    built: bytes = layout.build(stream.symbols_crc if last else stream.ends[level].check)
    return built


def parse_ladder(payload: bytes, blocks: int, *, partial: bool = False) -> Ladder:
    """Inverse of `build_ladder`, for a picture of so many ``blocks``.

    With ``partial`` the payload may end early: what comes back are the levels that are complete in all
    blocks. Raises CorruptError, also when there is none.
    """
    parser = _Parser(payload, blocks)
    sizes: list[int] = []
    try:
        while len(sizes) < parser.levels:
            sizes.append(parser.read_level(len(sizes)))
    except CorruptError:
        if not partial or not sizes:
            raise
    if len(sizes) == parser.levels and parser.cursor < len(payload):
        raise CorruptError("damaged: bytes behind the last level")
    return Ladder(parser.streams(), parser.levels, sizes)


class _Parser:
    def __init__(self, payload: bytes, blocks: int) -> None:
        self._payload = payload
        self._blocks = blocks
        self.cursor = 0
        self.levels = self._take(1)[0]
        if not 2 <= self.levels <= MAX_LEVELS:
            raise CorruptError(f"damaged: a picture of {self.levels} levels")
        # Appended to one by one: how many blocks there are is not to be believed before that.
        self._ties: list[list[Tie]] = []
        count = 0
        for _ in range(blocks):
            ties, self.cursor = parse_ties(payload, self.cursor)
            self._ties.append(ties)
            count += len(ties)
            check_tie_count(count)
        self._spans: list[list[bytes]] = []
        self._checks: list[list[int]] = []
        self._start = 0

    def read_level(self, level: int) -> int:
        """Read a level of all blocks; returns its bytes."""
        layout = schema.LevelCheck if level < self.levels - 1 else schema.Checksum
        check_bytes: int = layout.sizeof()
        lengths, checks = [], []
        for _ in range(self._blocks):
            length, self.cursor = read_varint(self._payload, self.cursor)
            lengths.append(length)
            checks.append(int.from_bytes(self._take(check_bytes), "little"))
        self._spans.append([self._take(length) for length in lengths])
        self._checks.append(checks)
        start, self._start = self._start, self.cursor
        return self.cursor - start

    def _take(self, count: int) -> bytes:
        if count > len(self._payload) - self.cursor:
            raise CorruptError("truncated: a level of the picture is incomplete")
        self.cursor += count
        return self._payload[self.cursor - count : self.cursor]

    def streams(self) -> list[Stream]:
        """What was read, block by block; of a level that is incomplete, nothing."""
        return [self._stream(block) for block in range(self._blocks)]

    def _stream(self, block: int) -> Stream:
        checks = [level[block] for level in self._checks]
        spans = [level[block] for level in self._spans]
        crc = checks.pop() if len(checks) == self.levels else None
        ends, size = [], 0
        for span, check in zip(spans, checks, strict=False):
            size += len(span)
            ends.append(LevelEnd(size, check))
        return Stream(b"".join(spans), crc, self._ties[block], ends)
