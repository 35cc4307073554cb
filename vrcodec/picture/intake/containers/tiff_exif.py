"""EXIF of a TIFF file: those tags of a page that describe the picture, as a block of their own.

Types and bytes are the file's, in its order of bytes: Pillow would take texts for ASCII, and guess the types of
tags that it does not know. Values that nobody but their maker can read move, as any copy does with them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from vrcodec.picture.intake.exif_block import (
    COUNT_BYTES,
    ENTRY_BYTES,
    EXIF,
    GPS,
    INTEROP,
    LONG,
    POINTER_BYTES,
    TYPE_BYTES,
)

# Tags of a TIFF file that describe the picture rather than the layout of the file, as EXIF has them.
DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 316, 318, 319, 33432, EXIF, GPS)
RESOLUTION_TAGS = (282, 283, 296)

# Bytes of numbers that point to a directory, by their type: LONG, IFD, and those of BigTIFF.
_DIRECTORY_TYPES = {LONG: 4, 13: 4, 16: 8, 18: 8}
_POINTERS = frozenset({EXIF, GPS, INTEROP})
_HEADER_BYTES = 8


@dataclass(frozen=True)
class Field:
    """A field of a directory: its ``tag``, the ``type`` and ``count`` of its values, and their bytes."""

    tag: int
    type: int
    count: int
    content: bytes


# The fields with certain tags, or all, of the directory at an offset in the file; struct.error where damaged.
ReadFields = Callable[[int, Collection[int] | None], Sequence[Field]]


def build_exif(order: str, page: int, read: ReadFields) -> bytes | None:
    """A block of the fields that describe the picture, of the ``page`` at this offset; None without such.

    ``order``: of bytes in the file, as `struct` has it. Raises struct.error where directories are damaged.
    """
    fields = read(page, (*DESCRIPTIVE_TAGS, *RESOLUTION_TAGS))
    if not any(field.tag in DESCRIPTIVE_TAGS for field in fields):
        return None
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "I", _HEADER_BYTES)
    return head + _pack(order, fields, read, _HEADER_BYTES)


def _pack(order: str, fields: Sequence[Field], read: ReadFields, offset: int) -> bytes:
    """A directory for this ``offset`` in the block, and behind it values and directories that it points to."""
    entries = bytearray(struct.pack(order + "H", len(fields)))
    start = offset + COUNT_BYTES + ENTRY_BYTES * len(fields) + POINTER_BYTES
    behind = bytearray()
    for field in sorted(fields, key=lambda field: field.tag):
        kind, count, content = field.type, field.count, field.content
        position = start + len(behind)
        if field.tag in _POINTERS:
            kind, count = LONG, 1
            inner = [f for f in read(_pointer(order, field), None) if _belongs(f, field.tag)]
            content = struct.pack(order + "I", position)
            behind += _pack(order, inner, read, position)
        elif len(content) > 4:
            # At an even offset, as the format wants it.
            behind += content + bytes(len(content) % 2)
            content = struct.pack(order + "I", position)
        entries += struct.pack(order + "HHI", field.tag, kind, count) + content.ljust(4, b"\0")
    return bytes(entries + bytes(POINTER_BYTES) + behind)


def _pointer(order: str, field: Field) -> int:
    form = {4: "I", 8: "Q"}.get(len(field.content))
    if form is None:
        raise struct.error("several pointers in place of one")
    return int(struct.unpack(order + form, field.content)[0])


def _belongs(field: Field, directory: int) -> bool:
    """Whether a field may stand in ``directory``: a damaged one must not point back to where it came from."""
    return field.tag not in _POINTERS or (directory == EXIF and field.tag == INTEROP)


def split_fields(
    order: str,
    entry_form: str,
    content: bytes,
    tags: Collection[int] | None,
    read: Callable[[int, int], bytes],
) -> Iterator[Field]:
    """The fields of the entries ``content`` with certain ``tags``, or all; no types that EXIF does not have.

    Of several with one tag the first: a hostile file has thousands of pointers to one directory. ``read``:
    bytes of the file, from an offset on so many. Raises struct.error where it has fewer.
    """
    seen = set[int]()
    for tag, kind, count, packed in struct.iter_unpack(order + entry_form, content):
        if tag in seen or (tags is not None and tag not in tags):
            continue
        seen.add(tag)
        sizes = _DIRECTORY_TYPES if tag in _POINTERS else TYPE_BYTES
        size = sizes.get(kind, 0) * count
        if not size:
            continue
        values = packed[:size]
        if size > len(packed):
            pointer = "Q" if len(packed) == 8 else "I"
            values = read(struct.unpack(order + pointer, packed)[0], size)
        if len(values) < size:
            raise struct.error("a value lies beyond the end of the file")
        yield Field(tag, kind, count, values)
