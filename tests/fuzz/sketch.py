"""A .vrc file taken apart so that any part of it may be made wrong, and put together with checksums that fit.

Apart from the program's own parser on purpose: what that one cannot express could not be tested.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from vrcodec.bitstream import schema

_HEAD = len(schema.MAGIC) + 2


@dataclass
class Part:
    """A chunk. ``claimed``: the length that it says it has, where that is a lie. ``sealed``: checksum fits."""

    type: int
    payload: bytes
    claimed: int | None = None
    sealed: bool = True

    def build(self) -> bytes:
        length = len(self.payload) if self.claimed is None else self.claimed
        content = bytes([self.type]) + varint(length) + self.payload
        return content + _checksum(content, self.sealed)


@dataclass
class Sketch:
    """``head``: magic and version. ``body``: of the header. ``tail``: what stands behind the last chunk.

    ``bound``: a chunk that binds the others together is made to fit them.
    """

    head: bytes
    body: bytes
    parts: list[Part] = field(default_factory=list)
    tail: bytes = b""
    sealed: bool = True
    bound: bool = True

    def build(self) -> bytes:
        """The file, with every checksum of header and chunks as it should be, unless told otherwise."""
        header = self.head + bytes([len(self.body) & 0xFF]) + self.body
        header += _checksum(header, self.sealed)
        if self.bound:
            self._bind(header)
        return b"".join([header, *(part.build() for part in self.parts), self.tail])

    def _bind(self, header: bytes) -> None:
        others = [part.build() for part in self.parts if part.type != schema.CHUNK_BINDING]
        seals = b"".join(part[-4:] for part in [header, *others])
        for part in self.of_type(schema.CHUNK_BINDING):
            part.payload = zlib.crc32(seals).to_bytes(4, "little")

    def of_type(self, *types: int) -> list[Part]:
        """The chunks of these types."""
        return [part for part in self.parts if part.type in types]


def take_apart(data: bytes) -> Sketch | None:
    """Inverse of `Sketch.build`; None where there is no header. What is no chunk goes to the tail."""
    if len(data) <= _HEAD or not data.startswith(schema.MAGIC):
        return None
    end = _HEAD + 1 + data[_HEAD]
    sketch = Sketch(data[:_HEAD], data[_HEAD + 1 : end])
    position = end + 4
    while position < len(data):
        length, start = read_varint(data, position + 1)
        if start + length + 4 > len(data):
            break
        sketch.parts.append(Part(data[position], data[start : start + length]))
        position = start + length + 4
    sketch.tail = data[position:]
    return sketch


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at ``position``, however long, and where it ends."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, position


def _checksum(content: bytes, right: bool) -> bytes:
    return (zlib.crc32(content) ^ (not right)).to_bytes(4, "little")
