"""Progressive streams: the latents of a picture in levels, coarse to fine, of which any prefix is a picture.

The chunk holds the first level of all blocks, then the second one of all, and so on.
One rANS stream runs through all levels of a block, so that a level costs two bytes and its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from construct import VarInt

from vrcodec.bitstream import schema
from vrcodec.bitstream.latent_stream import (
    LevelEnd,
    Stream,
    Tie,
    build_ties,
    check_picture_ties,
    parse_ties,
)
from vrcodec.bitstream.schema import read_varint
from vrcodec.errors import CorruptError

# Far more than any model has.
MAX_LEVELS = 64


@dataclass(frozen=True)
class ProgressiveStreams:
    """The streams of a progressive picture, one for each block, with the complete levels.

    ``level_count``: levels of the whole picture, of which a truncated file has fewer. ``level_sizes``: bytes
    of each complete level over all blocks, with lengths and checks.
    """

    streams: list[Stream]
    level_count: int
    level_sizes: list[int]


def build_progressive(streams: Sequence[Stream]) -> bytes:
    """Payload of a progressive chunk: ``streams`` are whole and have the same number of levels."""
    level_count = streams[0].level_count
    parts = [bytes([level_count]), *map(build_ties, streams)]
    for level in range(level_count):
        contents = [_level_data(stream, level) for stream in streams]
        for stream, content in zip(streams, contents, strict=True):
            parts += [VarInt.build(len(content)), _build_check(stream, level)]
        parts += contents
    return b"".join(parts)


def _level_data(stream: Stream, level: int) -> bytes:
    """The bytes that a level adds to those of the levels before."""
    ends = [0, *(end.size for end in stream.ends), len(stream.data)]
    return stream.data[ends[level] : ends[level + 1]]


def _build_check(stream: Stream, level: int) -> bytes:
    last = level == len(stream.ends)
    layout = schema.Checksum if last else schema.LevelCheck
    check: bytes = layout.build(stream.symbols_crc if last else stream.ends[level].check)
    return check


def parse_progressive(payload: bytes, blocks: int, *, partial: bool = False) -> ProgressiveStreams:
    """Inverse of `build_progressive`, for a picture of ``blocks`` blocks.

    With ``partial`` the payload may end early: then the result has the levels that are complete in all
    blocks. Raises CorruptError, also when no level is complete.
    """
    parser = _Parser(payload, blocks)
    level_sizes: list[int] = []
    try:
        while len(level_sizes) < parser.level_count:
            level_sizes.append(parser.read_level(len(level_sizes)))
    except CorruptError:
        if not partial or not level_sizes:
            raise
    if len(level_sizes) == parser.level_count and parser.cursor < len(payload):
        raise CorruptError("damaged: bytes behind the last level")
    return ProgressiveStreams(parser.streams(), parser.level_count, level_sizes)


class _Parser:
    def __init__(self, payload: bytes, blocks: int) -> None:
        self._payload = payload
        self._blocks = blocks
        self.cursor = 0
        self.level_count = self._take(1)[0]
        if not 2 <= self.level_count <= MAX_LEVELS:
            raise CorruptError(f"damaged: a picture of {self.level_count} levels")
        # Appended one by one: the number of blocks comes from the header, and must not claim memory.
        self._ties: list[list[Tie]] = []
        tie_count = 0
        for _ in range(blocks):
            ties, self.cursor = parse_ties(payload, self.cursor)
            self._ties.append(ties)
            tie_count += len(ties)
            check_picture_ties(tie_count)
        self._data: list[list[bytes]] = []
        self._checks: list[list[int]] = []
        self._level_start = 0

    def read_level(self, level: int) -> int:
        """Read a level of all blocks; returns how many bytes it takes."""
        layout = schema.LevelCheck if level < self.level_count - 1 else schema.Checksum
        check_bytes: int = layout.sizeof()
        lengths, checks = [], []
        for _ in range(self._blocks):
            length, self.cursor = read_varint(self._payload, self.cursor)
            lengths.append(length)
            checks.append(int.from_bytes(self._take(check_bytes), "little"))
        self._data.append([self._take(length) for length in lengths])
        self._checks.append(checks)
        start, self._level_start = self._level_start, self.cursor
        return self.cursor - start

    def _take(self, count: int) -> bytes:
        if count > len(self._payload) - self.cursor:
            raise CorruptError("truncated: a level of the picture is incomplete")
        self.cursor += count
        return self._payload[self.cursor - count : self.cursor]

    def streams(self) -> list[Stream]:
        """The stream of each block, of the levels that were read completely."""
        return [self._stream(block) for block in range(self._blocks)]

    def _stream(self, block: int) -> Stream:
        checks = [level[block] for level in self._checks]
        contents = [level[block] for level in self._data]
        crc = checks.pop() if len(checks) == self.level_count else None
        ends, size = [], 0
        for content, check in zip(contents, checks, strict=False):
            size += len(content)
            ends.append(LevelEnd(size, check))
        return Stream(b"".join(contents), crc, self._ties[block], ends)
