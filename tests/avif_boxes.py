"""AVIF files with boxes that Pillow does not write."""

from __future__ import annotations

import struct
from collections.abc import Callable

Boxes = dict[bytes, bytes]


def box(kind: bytes, content: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def boxes_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each box in a row."""
    found, position = [], 0
    while position < len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        found.append((kind, content[position + 8 : position + size]))
        position += size
    return found


def join(boxes: Boxes) -> bytes:
    """The reverse, where no kind is there twice."""
    return b"".join(box(*entry) for entry in boxes.items())


def change_meta(data: bytes, change: Callable[[Boxes], None]) -> bytes:
    """A file of libavif after ``change`` of what is in its box of metadata; items are found as before."""
    top = dict(boxes_of(data))
    meta = dict(boxes_of(top[b"meta"][4:]))
    change(meta)
    growth = len(join(meta)) - len(top[b"meta"][4:])
    # Version 0: number, reference, count of extents; of each, four bytes of offset and of length.
    locations, position = bytearray(meta[b"iloc"]), 8
    for _ in range(struct.unpack_from(">H", locations, 6)[0]):
        for extent in range(struct.unpack_from(">H", locations, position + 4)[0]):
            at = position + 6 + 8 * extent
            offset = struct.unpack_from(">I", locations, at)[0]
            struct.pack_into(">I", locations, at, offset + growth)
        position = at + 8
    meta[b"iloc"] = bytes(locations)
    top[b"meta"] = top[b"meta"][:4] + join(meta)
    return join(top)


def add_property(data: bytes, kind: bytes, content: bytes, item: int = 1) -> bytes:
    """The file with one more property of ``item``."""

    def change(meta: Boxes) -> None:
        properties = dict(boxes_of(meta[b"iprp"]))
        number = len(boxes_of(properties[b"ipco"])) + 1
        properties[b"ipco"] += box(kind, content)
        # Version 0, and indices of a byte.
        links, position = bytearray(properties[b"ipma"]), 8
        while struct.unpack_from(">H", links, position)[0] != item:
            position += 3 + links[position + 2]
        links.insert(position + 3 + links[position + 2], 0x80 | number)
        links[position + 2] += 1
        properties[b"ipma"] = bytes(links)
        meta[b"iprp"] = join(properties)

    return change_meta(data, change)


def add_item(data: bytes, kind: bytes, *, hidden: bool = False, refers: bytes = b"") -> bytes:
    """The file with one more item, which has no data. ``refers``: the kind of its reference to the first."""

    def change(meta: Boxes) -> None:
        infos = bytearray(meta[b"iinf"])
        number = struct.unpack_from(">H", infos, 4)[0] + 1
        struct.pack_into(">H", infos, 4, number)
        info = bytes((2, 0, 0, hidden)) + struct.pack(">HH4s", number, 0, kind) + b"\0"
        meta[b"iinf"] = bytes(infos) + box(b"infe", info)
        if refers:
            reference = box(refers, struct.pack(">HHH", number, 1, 1))
            meta[b"iref"] = meta.get(b"iref", bytes(4)) + reference

    return change_meta(data, change)


def add_to_track(data: bytes, kind: bytes, content: bytes) -> bytes:
    """An animation with one more box in the sample entry of its first track, the one of colours."""
    new = box(kind, content)
    # From the outermost: kind, and bytes before the boxes in it.
    path = ((b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"stsd", 8))
    changed, start = bytearray(data), 0
    for name, skipped in (*path, (b"av01", 78)):
        at = data.index(name, start) - 4
        size = struct.unpack_from(">I", data, at)[0]
        struct.pack_into(">I", changed, at, size + len(new))
        start = at + 8 + skipped
    changed[at + size : at + size] = new
    # The samples lie behind all of it.
    position = changed.find(b"stco")
    while position >= 0:
        for number in range(struct.unpack_from(">I", changed, position + 8)[0]):
            place = position + 12 + 4 * number
            offset = struct.unpack_from(">I", changed, place)[0]
            struct.pack_into(">I", changed, place, offset + len(new))
        position = changed.find(b"stco", position + 4)
    return bytes(changed)
