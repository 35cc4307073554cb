"""FORMAT.md, sections 1 to 4: header, chunks, blocks."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

# The rows and columns of a block in a plane of latents, or of pixels.
Window = tuple[slice, slice]

MAGIC = b"\x8dVRC\r\n"
# In samples of y.
BLOCK = 64


class RefusedError(Exception):
    """The file is damaged, or nothing that this decoder knows."""


def require(condition: object, reason: str) -> None:
    """Refuse the file unless ``condition``."""
    if not condition:
        raise RefusedError(reason)


class Cursor:
    """Reads bytes one after the other."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        require(count <= self.left, "truncated")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        """An unsigned LEB128 of at most five bytes."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise RefusedError("a varint is too long")

    def checksum(self, start: int) -> int:
        """The CRC-32 that follows, compared with that of everything from ``start`` to here."""
        content = self.data[start : self.position]
        stored = self.number(4)
        require(zlib.crc32(content) == stored, "a checksum is wrong")
        return stored


@dataclass
class File:
    """A parsed file; ``chunks``: payloads by type."""

    method: int
    weights_id: bytes
    width: int
    height: int
    mode: int
    rate: int
    chunks: dict[int, list[bytes]] = field(default_factory=dict)
    complete: bool = True

    @property
    def latent_size(self) -> tuple[int, int]:
        """Rows and columns of y."""
        return -(-self.height // 16), -(-self.width // 16)

    def windows(self) -> list[Window]:
        """The blocks, as windows of y."""
        height, width = self.latent_size
        return [
            (slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width)))
            for top in range(0, height, BLOCK)
            for left in range(0, width, BLOCK)
        ]

    def single(self, chunk_type: int) -> bytes | None:
        """The payload of the one chunk of this type, if there is one."""
        payloads = self.chunks.get(chunk_type, [])
        require(len(payloads) <= 1, "more than one chunk of a type that a file has once")
        return payloads[0] if payloads else None

    @property
    def channels(self) -> int:
        """Channels of samples that are stored without loss."""
        return 3 if self.mode == 1 else 1


# Chunk types that not all methods have, and the type that the picture itself has.
METHODS_OF_CHUNK = {2: (2, 6), 3: (3,), 4: (4,), 5: (5,), 7: (0,), 9: (3,)}
PICTURE_CHUNK = {0: 7, 1: 1, 2: 1, 3: 1, 4: 1, 5: 5, 6: 1}


def parse(data: bytes, partial: bool) -> File:
    """Header and chunks of a file, with all their checksums. ``partial``: it may end inside its levels."""
    cursor = Cursor(data)
    require(cursor.take(6) == MAGIC, "not a vrc file")
    major, _, length = cursor.take(3)
    require(major == 1, "another major version")
    body = Cursor(cursor.take(length))
    checksums = [cursor.checksum(0)]
    file = File(
        body.number(1),
        body.take(8),
        body.varint(),
        body.varint(),
        body.number(1),
        body.number(2),
    )
    require(file.method in PICTURE_CHUNK, "an unknown method")
    require(file.mode in ((0, 1, 2) if file.method == 0 else (0, 1)), "an unknown mode")
    require(min(file.width, file.height) >= 1, "no pixels")
    require(max(file.width, file.height) <= 1 << 20, "a side over the limit")
    require(file.width * file.height <= 1 << 28, "pixels over the limit")
    read_chunks(cursor, file, checksums, partial)
    return file


def read_chunks(cursor: Cursor, file: File, checksums: list[int], partial: bool) -> None:
    """Fill ``file.chunks``. ``checksums``: that of the header."""
    blocks, picture = len(file.windows()), PICTURE_CHUNK[file.method]
    for _ in range(min(1 << 14, 3 * blocks + 256)):
        if not cursor.left:
            break
        start = cursor.position
        chunk_type, length = cursor.number(1), cursor.varint()
        require(length <= 1 << 28, "a chunk over the limit")
        file.complete = not partial or chunk_type != 5 or cursor.left >= length + 4
        payload = cursor.take(length if file.complete else cursor.left)[:length]
        checksum = cursor.checksum(start) if file.complete else 0
        require(chunk_type in range(1, 10) or chunk_type >= 0x80, "an unknown critical chunk")
        methods = METHODS_OF_CHUNK.get(chunk_type, (file.method,))
        require(file.method in methods, "a chunk of another method")
        require(picture not in file.chunks or chunk_type == picture, "a chunk behind the picture")
        if chunk_type != 0x83:
            checksums.append(checksum)
        file.chunks.setdefault(chunk_type, []).append(payload)
    require(not cursor.left, "too many chunks")
    expected = 1 if picture == 5 else blocks
    require(
        len(file.chunks.get(picture, [])) == expected, "not one chunk of the picture for each block"
    )
    require(all(t == picture or t not in (1, 5, 7) for t in file.chunks), "two kinds of picture")
    for chunk_type in (6, 8):
        require(len(file.chunks.get(chunk_type, [])) in (0, blocks), "a block without its chunk")
    require(file.method or 8 not in file.chunks, "lossless cells without a model")
    binding = file.single(0x83) if file.complete else None
    bound = zlib.crc32(struct.pack(f"<{len(checksums)}I", *checksums)).to_bytes(4, "little")
    require(binding in (None, bound), "chunks that do not belong together")


def inflate(data: bytes, limit: int, window: int = -zlib.MAX_WBITS) -> bytes:
    """Deflated bytes, up to ``limit`` of them; raw deflate by default."""
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise RefusedError("cannot be inflated") from error
    require(len(content) <= limit, "over the limit when inflated")
    require(inflater.eof and not inflater.unused_data, "deflated data of the wrong length")
    return content
