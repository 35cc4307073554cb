"""Boxes of AVIF (ISO/IEC 14496-12 and 23008-12) that tell depth and colours of the picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from vrcodec.picture.intake.facts import FileFacts

# The boxes stand in front of the samples; an ICC profile may be among them.
_HEAD_BYTES = 1 << 22
_DEEP, _TWELVE = 0x40, 0x20


def facts(source: BinaryIO) -> FileFacts:
    """Depth of any coded item, and the colours of the primary one; what cannot be found is None."""
    head = source.read(_HEAD_BYTES)
    meta = next((body for kind, body in _boxes(head) if kind == b"meta"), b"")[4:]
    inside = dict(_boxes(meta))
    properties = dict(_boxes(inside.get(b"iprp", b"")))
    items = list(_boxes(properties.get(b"ipco", b"")))
    try:
        own = _of_primary(inside[b"pitm"], properties[b"ipma"])
        primary = [items[index - 1] for index in own if 0 < index <= len(items)]
    except (KeyError, struct.error, IndexError):
        # libavif, which reads the same boxes, will say what is wrong.
        primary = items
    return FileFacts(_depth(items), _cicp(primary))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box; ends where there is no further one."""
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= len(data):
            head, size = 16, struct.unpack_from(">Q", data, start + 8)[0]
        size = size or len(data) - start
        if size < head:
            return
        yield kind, data[start + head : start + size]
        start += size


def _of_primary(pitm: bytes, ipma: bytes) -> list[int]:
    """Indices, from 1, of the properties of the primary item."""
    primary = struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, 4)[0]
    wide_id, wide_index = ipma[0] > 0, bool(ipma[3] & 1)
    count, at = struct.unpack_from(">I", ipma, 4)[0], 8
    for _ in range(count):
        item = struct.unpack_from(">I" if wide_id else ">H", ipma, at)[0]
        at += 4 if wide_id else 2
        length = ipma[at]
        form = f">{length}{'H' if wide_index else 'B'}"
        if item == primary:
            # The highest bit says whether a reader must know the property.
            mask = 0x7FFF if wide_index else 0x7F
            return [index & mask for index in struct.unpack_from(form, ipma, at + 1)]
        at += 1 + struct.calcsize(form)
    return []


def _depth(items: list[tuple[bytes, bytes]]) -> int | None:
    flags = [body[2] for kind, body in items if kind == b"av1C" and len(body) > 2]
    if not flags:
        return None
    return max(8 if not flag & _DEEP else 12 if flag & _TWELVE else 10 for flag in flags)


def _cicp(items: list[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    for kind, body in items:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return primaries, transfer
    return None
