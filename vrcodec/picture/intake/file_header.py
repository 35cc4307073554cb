"""Depth and colour code points from the headers of files, which Pillow does not tell.

PNG is read chunk by chunk to its end, because Pillow leaves the checksums of most chunks unread. Of AVIF and
HEIF the boxes (ISO/IEC 14496-12 and 23008-12) are read, of JPEG XL the header of the codestream.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from vrcodec.errors import InputError
from vrcodec.picture.intake.boxes import Box, read_boxes
from vrcodec.picture.intake.file_kind import JXL_CODESTREAM, JXL_CONTAINER
from vrcodec.picture.intake.items import primary_item, property_indices
from vrcodec.picture.intake.jxl_header import read_jxl_header

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_READ_BYTES = 1 << 20
_IHDR_BYTES = 13
_IHDR_DEPTH_OFFSET = 8

# Boxes stand in front of the samples; an ICC profile may be among them.
_BOX_BYTES = 1 << 22
# Flags of av1C: more than 8 bits, and then 12 in place of 10.
_HIGH_BITDEPTH, _TWELVE_BIT = 0x40, 0x20


@dataclass(frozen=True)
class FileHeader:
    """``depth``: bits a sample, None where Pillow knows. ``cicp``: primaries and transfer of ITU-T H.273.

    ``narrow_range``: whether samples do not span all values, as those of video.
    """

    depth: int | None = None
    cicp: tuple[int, int] | None = None
    narrow_range: bool = False


def read_file_header(source: BinaryIO | None, name: str) -> FileHeader:
    """The header of a PNG, AVIF, HEIF or JPEG XL file; an empty one for other formats.

    The position is left as it was. Raises InputError for a damaged PNG, ValueError for a damaged JPEG XL.
    """
    if source is None or getattr(source, "closed", False):
        return FileHeader()
    position = source.tell()
    try:
        source.seek(0)
        start = source.read(16)
        if start.startswith(_PNG_SIGNATURE):
            source.seek(len(_PNG_SIGNATURE))
            return _read_png(source, name)
        if start[4:8] == b"ftyp":
            source.seek(0)
            return _read_avif(source)
        if start.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
            source.seek(0)
            return FileHeader(cicp=read_jxl_header(source.read(_BOX_BYTES)).cicp)
        return FileHeader()
    finally:
        source.seek(position)


# --- PNG ---


def _read_png(source: BinaryIO, name: str) -> FileHeader:
    """From all chunks behind the signature. Raises InputError where one is damaged or missing."""
    depth, cicp, narrow_range = None, None, False
    while True:
        chunk_type, content = _read_chunk(source, name)
        if chunk_type == b"IHDR":
            depth = content[_IHDR_DEPTH_OFFSET]
        elif chunk_type == b"cICP" and len(content) == 4:
            cicp, narrow_range = (content[0], content[1]), not content[3]
        elif chunk_type == b"IEND":
            return FileHeader(depth, cicp, narrow_range)


def _read_chunk(source: BinaryIO, name: str) -> tuple[bytes, bytes]:
    """Type and first bytes of the next chunk, its checksum verified."""
    head = source.read(8)
    if len(head) < 8:
        raise InputError(f"{name}: the picture is damaged: the PNG ends early")
    length, chunk_type = struct.unpack(">I4s", head)
    checksum, first_bytes, remaining = zlib.crc32(chunk_type), b"", length
    while remaining:
        piece = source.read(min(remaining, _READ_BYTES))
        if not piece:
            raise InputError(f"{name}: the picture is damaged: the PNG ends early")
        first_bytes = first_bytes or piece[:64]
        checksum = zlib.crc32(piece, checksum)
        remaining -= len(piece)
    if source.read(4) != struct.pack(">I", checksum):
        word = chunk_type.decode("ascii", "replace")
        raise InputError(f"{name}: the picture is damaged: wrong checksum of the PNG chunk {word}")
    if chunk_type == b"IHDR" and length != _IHDR_BYTES:
        raise InputError(f"{name}: the picture is damaged: the PNG header has {length} bytes")
    return chunk_type, first_bytes


# --- AVIF and HEIF ---


def _read_avif(source: BinaryIO) -> FileHeader:
    """Depth of any coded item, and the colours of the primary one; what cannot be found is None."""
    data = source.read(_BOX_BYTES)
    meta = next((body for box_type, body in read_boxes(data) if box_type == b"meta"), b"")[4:]
    meta_boxes = dict(read_boxes(meta))
    iprp_boxes = dict(read_boxes(meta_boxes.get(b"iprp", b"")))
    properties = list(read_boxes(iprp_boxes.get(b"ipco", b"")))
    try:
        item = primary_item(meta_boxes[b"pitm"])
        indices = property_indices(iprp_boxes[b"ipma"]).get(item, [])
        primary = [properties[index - 1] for index in indices if 0 < index <= len(properties)]
    except (KeyError, struct.error, IndexError):
        # libavif, which reads the same boxes, will say what is wrong.
        primary = properties
    return FileHeader(_avif_depth(properties), _avif_cicp(primary))


def _avif_depth(properties: list[Box]) -> int | None:
    flags = [body[2] for box_type, body in properties if box_type == b"av1C" and len(body) > 2]
    if not flags:
        return None
    return max(
        8 if not flag & _HIGH_BITDEPTH else 12 if flag & _TWELVE_BIT else 10 for flag in flags
    )


def _avif_cicp(properties: list[Box]) -> tuple[int, int] | None:
    for box_type, body in properties:
        if box_type == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return primaries, transfer
    return None
