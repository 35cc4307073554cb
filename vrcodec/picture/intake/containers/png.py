"""PNG: chunks that Pillow does not read, and what lies behind the end."""

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

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES = 12
_END = b"IEND"
# Chunks whose first letter is a capital are needed to show the picture.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", _END)
_LEFT_OUT = {
    b"caBX": C2PA,
    b"gdAT": "the gain map",
    b"mDCV": "the mastering display's colours (mDCV)",
    b"cLLI": "the light levels (cLLI)",
}


def read_png(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a PNG file holds beside what Pillow and `read_file_header` tell."""
    parts = split_pictures(source, _SIGNATURE, lambda start: _end(source, start))
    kinds = [kind for kind, _ in _chunks(source, 0)]
    unknown = next((k for k in kinds if k[:1].isupper() and k not in _CRITICAL), None)
    problem = None
    if unknown:
        problem = f"has the chunk {unknown.decode('ascii', 'replace')}, without which it is not what it shows"
    left_out = [words for kind, words in _LEFT_OUT.items() if kind in kinds]
    left_out += describe_rest(source, parts[-1][1])
    return FileContents(parts, problem=problem, left_out=tuple(left_out))


def _end(source: BinaryIO, start: int) -> int:
    return max((end for _, end in _chunks(source, start)), default=file_size(source))


def _chunks(source: BinaryIO, start: int) -> Iterator[tuple[bytes, int]]:
    """Type and end of each chunk of the PNG that begins at ``start``."""
    position, size = start + len(_SIGNATURE), file_size(source)
    while position < size:
        length, kind = struct.unpack(">I4s", read_at(source, position, 8).ljust(8, b"\0"))
        position += length + _FRAME_BYTES
        yield kind, min(position, size)
        if kind == _END:
            return
