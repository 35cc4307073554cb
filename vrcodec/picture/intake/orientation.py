"""The orientation in EXIF and XMP: reading it, rotating the samples upright, and resetting it to 1."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from vrcodec.picture.intake.exif_block import LONG, SHORT, ExifBlock

# The tag of EXIF and TIFF.
ORIENTATION = 0x0112
_IN_XMP = re.compile(rb"""((?<!/)tiff:Orientation\s*(?:=\s*["']|>)\s*)(\d+)""")


def reset_exif_orientation(exif: bytes) -> tuple[bytes, int | None]:
    """An EXIF block with orientation 1, byte for byte as it was otherwise; and the orientation it had.

    Without a readable one of 1 .. 8 the block is as it was, and the orientation None.
    """
    block, orientation = ExifBlock(exif), None
    for entry in block.entries(block.main):
        value = (
            block.value(entry) if entry.tag == ORIENTATION and entry.type in (SHORT, LONG) else None
        )
        if value is not None and 1 <= value <= 8:
            orientation = orientation or value
            block.set_value(entry, 1)
    return bytes(block.content), orientation


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
