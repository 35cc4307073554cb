"""Unsigned LEB128 read by hand: bounded, and fast enough for lists of many."""

from __future__ import annotations

from vrcodec.errors import CorruptError

# 35 bits: more than any number in this version needs.
MAX_BYTES = 5


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at ``position`` and the position behind it. Raises CorruptError."""
    value = 0
    for index, byte in enumerate(data[position : position + MAX_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise CorruptError(f"a number at byte {position} of a chunk is incomplete or too long")
