"""Picture files with parts that Pillow does not write: headers, segments and directories, made by hand."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from tests.pictures import stored

# A type of TIFF, how many values there are, and their bytes.
Field = tuple[int, int, bytes]

XAP = b"http://ns.adobe.com/xap/1.0/\0"


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """A picture whose corners differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    samples = np.stack((rows * 5, columns * 3, rows + columns), axis=2)
    return Image.fromarray(samples.astype(np.uint8))


def jpeg(image: Image.Image, *segments: bytes, **options: object) -> bytes:
    """A JPEG with more segments at its start."""
    data = stored(image, "JPEG", quality=95, **options).getvalue()
    return data[:2] + b"".join(segments) + data[2:]


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def xmp_segment(xmp: bytes) -> bytes:
    """XMP as JPEG has it."""
    return segment(0xE1, XAP + xmp)


def multi_picture_segment(
    sizes: list[int], kinds: list[int], before: int, order: str = "<"
) -> bytes:
    """An index of the pictures that lie one behind the other (CIPA DC-007).

    ``sizes``: of all, that of the first without this segment. ``before``: where this segment will begin.
    """
    count = len(sizes)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    head += struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100")
    head += struct.pack(order + "HHII", 0xB001, 4, 1, count)
    head += struct.pack(order + "HHIII", 0xB002, 7, 16 * count, 50, 0)
    length = 4 + 4 + len(head) + 16 * count
    # Offsets are counted from the byte order.
    position, entries = sizes[0] + length - (before + 8), b""
    for number, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
        entries += struct.pack(order + "IIII", kind, size, position if number else 0, 0)
        position += size if number else 0
    return segment(0xE2, b"MPF\0" + head + entries)


def jpegs_with_index(pictures: list[bytes], kinds: list[int], order: str = "<") -> bytes:
    """JPEGs one behind the other, the first of which names the others."""
    first = pictures[0]
    index = multi_picture_segment([len(p) for p in pictures], kinds, 2, order)
    return first[:2] + index + first[2:] + b"".join(pictures[1:])


def numbers(*values: int, order: str = "<", kind: int = 3) -> Field:
    """SHORT (3) or LONG (4) values."""
    form = {3: "H", 4: "I"}[kind]
    return kind, len(values), struct.pack(f"{order}{len(values)}{form}", *values)


def text(content: bytes) -> Field:
    """ASCII."""
    return 2, len(content) + 1, content + b"\0"


def directory(order: str, start: int, fields: dict[int, Field], following: int = 0) -> bytes:
    """A directory of TIFF at ``start``, and behind it the values that do not fit."""
    outside = start + 2 + 12 * len(fields) + 4
    entries, values = b"", b""
    for tag, (kind, count, content) in sorted(fields.items()):
        inside = content.ljust(4, b"\0")
        if len(content) > 4:
            inside = struct.pack(order + "I", outside + len(values))
            values += content + bytes(len(content) % 2)
        entries += struct.pack(order + "HHI4s", tag, kind, count, inside)
    return (
        struct.pack(order + "H", len(fields))
        + entries
        + struct.pack(order + "I", following)
        + values
    )


def exif(
    main: dict[int, Field],
    own: dict[int, Field] | None = None,
    interop: dict[int, Field] | None = None,
    thumbnail: bytes = b"",
    order: str = "<",
) -> bytes:
    """An EXIF block: the main directory, those of EXIF and of interoperability, and a thumbnail behind them."""

    def pointer(offset: int) -> Field:
        return numbers(offset, order=order, kind=4)

    own = own or {}
    if interop:
        own = {**own, 0xA005: pointer(0)}
    main = {**main, 0x8769: pointer(0)}
    own_start = 8 + len(directory(order, 8, main))
    interop_start = own_start + len(directory(order, own_start, own))
    inner = directory(order, interop_start, interop) if interop else b""
    first = interop_start + len(inner) if thumbnail else 0
    if interop:
        own[0xA005] = pointer(interop_start)
    main[0x8769] = pointer(own_start)
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    block += directory(order, 8, main, first) + directory(order, own_start, own) + inner
    if not thumbnail:
        return block
    described = {0x103: numbers(6, order=order), 0x201: pointer(0), 0x202: pointer(len(thumbnail))}
    described[0x201] = pointer(first + len(directory(order, first, described)))
    return block + directory(order, first, described) + thumbnail


def bmp_v5(image: Image.Image, kind: bytes, colours: bytes = b"", profile: bytes = b"") -> bytes:
    """A BMP with a header of version 5. ``kind``: of its colours. ``colours``: end points and gammas."""
    samples = stored(image, "BMP").getvalue()
    (at,) = struct.unpack("<I", samples[10:14])
    palette, rows = samples[54:at], samples[at:]
    header = struct.pack("<I", 124) + samples[18:54] + bytes(16) + kind + colours.ljust(48, b"\0")
    behind = 124 + len(palette) + len(rows)
    header += struct.pack("<IIII", 4, behind if profile else 0, len(profile), 0)
    size = 14 + behind + len(profile)
    return (
        struct.pack("<2sIII", b"BM", size, 0, 138 + len(palette))
        + header
        + palette
        + rows
        + profile
    )


def gif_with(image: Image.Image, label: int, first: bytes, rest: bytes) -> bytes:
    """A GIF with an extension behind its palette. ``rest``: blocks, and what ends them."""
    data = stored(image, "GIF").getvalue()
    start = 13 + (3 * (2 << (data[10] & 7)) if data[10] & 0x80 else 0)
    extension = bytes((0x21, label, len(first))) + first + rest
    return data[:start] + extension + data[start:]


def blocks(content: bytes) -> bytes:
    """Content in blocks, as GIF has it."""
    pieces = [content[at : at + 255] for at in range(0, len(content), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"
