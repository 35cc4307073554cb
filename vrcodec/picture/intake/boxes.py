"""The boxes that AVIF, HEIF and JPEG XL files are made of (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# Type and content.
Box = tuple[bytes, bytes]


def read_boxes(data: bytes) -> Iterator[Box]:
    """The boxes in ``data``, up to the first that is broken."""
    start = 0
    while start + 8 <= len(data):
        size, box_type = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= len(data):
            head, size = 16, struct.unpack_from(">Q", data, start + 8)[0]
        size = size or len(data) - start
        if size < head:
            return
        yield box_type, data[start + head : start + size]
        start += size
