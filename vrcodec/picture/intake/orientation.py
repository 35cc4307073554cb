"""Which way up: reading the orientation of EXIF and XMP, turning the samples, and saying so."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_TAG = 0x0112
_SHORT, _LONG = 3, 4
_IN_XMP = re.compile(rb"""((?<!/)tiff:Orientation\s*(?:=\s*["']|>)\s*)(\d+)""")


def upright_exif(exif: bytes) -> tuple[bytes, int | None]:
    """An EXIF block with orientation 1, byte for byte as it was otherwise; and the orientation it had.

    Without a readable one of 1 .. 8 the block is as it was, and the orientation None.
    """
    patched, found = bytearray(exif), None
    for at, form in _places(exif):
        value = struct.unpack_from(form, exif, at)[0]
        if 1 <= value <= 8:
            found = found or value
            struct.pack_into(form, patched, at, 1)
    return bytes(patched), found


def _places(exif: bytes) -> Iterator[tuple[int, str]]:
    """Where the first directory has an orientation, and its form; nothing where that is broken."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return
    start = struct.unpack_from(order + "I", exif, 4)[0]
    if start + 2 > len(exif):
        return
    count = struct.unpack_from(order + "H", exif, start)[0]
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _TAG and kind in (_SHORT, _LONG) and values == 1:
            yield entry + 8, order + ("H" if kind == _SHORT else "I")


def upright_xmp(xmp: bytes) -> tuple[bytes, int | None]:
    """An XMP packet with tiff:Orientation 1 where it has one, and the one it had if that is 1 .. 8."""
    match = _IN_XMP.search(xmp)
    value = int(match[2][:4]) if match else 0
    if not 1 <= value <= 8:
        return xmp, None
    return _IN_XMP.sub(rb"\g<1>1", xmp), value


def turned(samples: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, C) as it is to be seen, of ``orientation`` 1 .. 8 as EXIF counts them."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
