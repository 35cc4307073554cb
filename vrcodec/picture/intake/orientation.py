"""The orientation in EXIF and XMP: reading it, rotating the samples upright, and resetting it to 1."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_TAG = 0x0112
_SHORT, _LONG = 3, 4
_IN_XMP = re.compile(rb"""((?<!/)tiff:Orientation\s*(?:=\s*["']|>)\s*)(\d+)""")


def reset_exif_orientation(exif: bytes) -> tuple[bytes, int | None]:
    """An EXIF block with orientation 1, byte for byte as it was otherwise; and the orientation it had.

    Without a readable one of 1 .. 8 the block is as it was, and the orientation None.
    """
    patched, orientation = bytearray(exif), None
    for offset, form in _orientation_fields(exif):
        value = struct.unpack_from(form, exif, offset)[0]
        if 1 <= value <= 8:
            orientation = orientation or value
            struct.pack_into(form, patched, offset, 1)
    return bytes(patched), orientation


def _orientation_fields(exif: bytes) -> Iterator[tuple[int, str]]:
    """Offset and struct format of each orientation in the first directory; none where that is broken."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return
    start = struct.unpack_from(order + "I", exif, 4)[0]
    if start + 2 > len(exif):
        return
    count = struct.unpack_from(order + "H", exif, start)[0]
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, field_type, values = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _TAG and field_type in (_SHORT, _LONG) and values == 1:
            yield entry + 8, order + ("H" if field_type == _SHORT else "I")


def reset_xmp_orientation(xmp: bytes) -> tuple[bytes, int | None]:
    """An XMP packet with tiff:Orientation 1 where it has one, and the one it had if that is 1 .. 8."""
    match = _IN_XMP.search(xmp)
    value = int(match[2][:4]) if match else 0
    if not 1 <= value <= 8:
        return xmp, None
    return _IN_XMP.sub(rb"\g<1>1", xmp), value


def rotate_upright(samples: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, C) rotated and mirrored for display; ``orientation``: 1 .. 8, as in EXIF."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
