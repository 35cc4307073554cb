"""PNG chunk by chunk: Pillow leaves the checksums of most chunks unread."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from vrcodec.errors import InputError
from vrcodec.picture.intake.facts import FileFacts

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE_BYTES = 1 << 20
_DEPTH_OFFSET = 8


def checked_facts(source: BinaryIO, name: str) -> FileFacts:
    """Walk through all chunks behind the signature. Raises InputError where one is damaged or missing."""
    depth, cicp = None, None
    while True:
        kind, content = _chunk(source, name)
        if kind == b"IHDR":
            depth = content[_DEPTH_OFFSET]
        elif kind == b"cICP" and len(content) == 4:
            cicp = (content[0], content[1])
        elif kind == b"IEND":
            return FileFacts(depth, cicp)


def _chunk(source: BinaryIO, name: str) -> tuple[bytes, bytes]:
    """Type and first bytes of the next chunk, its checksum verified."""
    head = source.read(8)
    if len(head) < 8:
        raise InputError(f"{name}: the picture is damaged: the PNG ends early")
    length, kind = struct.unpack(">I4s", head)
    found, first, left = zlib.crc32(kind), b"", length
    while left:
        piece = source.read(min(left, _PIECE_BYTES))
        if not piece:
            raise InputError(f"{name}: the picture is damaged: the PNG ends early")
        first = first or piece[:64]
        found = zlib.crc32(piece, found)
        left -= len(piece)
    if source.read(4) != struct.pack(">I", found):
        word = kind.decode("ascii", "replace")
        raise InputError(f"{name}: the picture is damaged: wrong checksum of the PNG chunk {word}")
    if kind == b"IHDR" and length != 13:
        raise InputError(f"{name}: the picture is damaged: the PNG header has {length} bytes")
    return kind, first
