"""WebP: chunks that are in no specification, signatures, and what lies behind the end."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.containers.contents import (
    C2PA,
    FileContents,
    describe_rest,
    file_size,
    read_at,
    split_pictures,
)

_SIGNATURE = b"RIFF"
_HEADER_BYTES, _CHUNK_HEADER_BYTES = 12, 8
_KNOWN = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
_C2PA = b"C2PA"


def read_webp(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a WebP file holds beside what Pillow tells."""
    parts = split_pictures(source, _SIGNATURE, lambda start: _end(source, start))
    kinds = dict.fromkeys(_chunk_kinds(source, parts[0][1]))
    left_out = [
        C2PA if kind == _C2PA else f"the chunk {kind.decode('ascii', 'replace')}"
        for kind in kinds
        if kind not in _KNOWN
    ]
    left_out += describe_rest(source, parts[-1][1])
    return FileContents(parts, left_out=tuple(left_out))


def _end(source: BinaryIO, start: int) -> int:
    length = struct.unpack("<I", read_at(source, start + 4, 4).ljust(4, b"\0"))[0]
    return min(start + _CHUNK_HEADER_BYTES + length + length % 2, file_size(source))


def _chunk_kinds(source: BinaryIO, end: int) -> Iterator[bytes]:
    position = _HEADER_BYTES
    while position + _CHUNK_HEADER_BYTES <= end:
        kind, length = struct.unpack("<4sI", read_at(source, position, _CHUNK_HEADER_BYTES))
        yield kind
        position += _CHUNK_HEADER_BYTES + length + length % 2
