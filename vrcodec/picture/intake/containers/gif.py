"""GIF: profiles and XMP in application extensions, text drawn over frames, and what lies behind the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.containers.contents import (
    C2PA,
    FileContents,
    describe_rest,
    read_at,
    split_pictures,
)

_SIGNATURE = b"GIF8"
_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10
_EXTENSION, _IMAGE, _TRAILER = b"!,;"
_PLAIN_TEXT, _APPLICATION = 0x01, 0xFF
_ICC, _XMP, _C2PA = b"ICCRGBG1012", b"XMP DataXMP", b"C2PA_GIF"
# XMP is not in blocks: these bytes behind it lead a reader of blocks to the end, wherever it has got to.
_XMP_TRAILER = bytes((1, *range(255, -1, -1), 0))

# Label, first block, and what follows up to the extension's end.
_Extension = tuple[int, bytes, bytes]


def read_gif(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a GIF file holds beside its frames."""
    data = read_at(source, 0)
    parts = split_pictures(source, _SIGNATURE, lambda start: _walk(data, start)[1])
    icc, xmp, left_out = None, None, []
    for label, first, rest in _walk(data, 0)[0]:
        if label == _PLAIN_TEXT:
            left_out.append("text that is drawn over the picture")
        elif label != _APPLICATION:
            continue
        elif first == _ICC:
            icc = icc or b"".join(_blocks(rest, 0))
        elif first == _XMP:
            xmp = xmp or _unpack_xmp(rest)
        elif first.startswith(_C2PA):
            left_out.append(C2PA)
    left_out += describe_rest(source, parts[-1][1])
    return FileContents(parts, icc=icc, xmp=xmp, left_out=tuple(left_out))


def _walk(data: bytes, start: int) -> tuple[list[_Extension], int]:
    """All extensions of the file that begins at ``start``, and its end."""
    extensions: list[_Extension] = []
    position = start + _HEADER_BYTES + _palette_bytes(data, start + 10)
    while position + 1 < len(data) and data[position] != _TRAILER:
        kind = data[position]
        if kind == _EXTENSION:
            blocks = position + 2
        elif kind == _IMAGE:
            # The smallest size of codes stands before the samples.
            palette = _palette_bytes(data, position + _DESCRIPTOR_BYTES - 1)
            blocks = position + _DESCRIPTOR_BYTES + palette + 1
        else:
            # What is unknown is skipped, as Pillow does.
            position += 1
            continue
        end = blocks + sum(1 + len(block) for block in _blocks(data, blocks)) + 1
        if kind == _EXTENSION:
            first = next(_blocks(data, blocks), b"")
            extensions.append((data[position + 1], first, data[blocks + 1 + len(first) : end]))
        position = end
    return extensions, min(position + 1, len(data))


def _palette_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _blocks(data: bytes, position: int) -> Iterator[bytes]:
    """The blocks from ``position`` on, up to the empty one that ends them."""
    while position < len(data) and data[position]:
        yield data[position + 1 : position + 1 + data[position]]
        position += 1 + data[position]


def _unpack_xmp(content: bytes) -> bytes:
    if content.endswith(_XMP_TRAILER):
        return content[: -len(_XMP_TRAILER)]
    return b"".join(_blocks(content, 0))
