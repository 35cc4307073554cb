"""HEIC and other HEIF files, read by the package pillow_heif, which is imported when one is met.

Its classes are called by name: nothing is registered with the caller's Pillow.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import InputError


def open_heif(source: BinaryIO, name: str) -> Image.Image:
    """The pictures of a file, of which none is decoded yet, upright by its boxes. Raises InputError."""
    import pillow_heif

    try:
        image: Image.Image = pillow_heif.HeifImageFile(source)
    except SyntaxError as error:
        raise InputError(f"{name}: is a HEIC picture, and a damaged one: {error}") from None
    return image


def read_deep_heif(image: Image.Image, source: BinaryIO | None) -> npt.NDArray[np.uint32] | None:
    """All bits of the current picture, (H, W) or (H, W, 3 or 4).

    None where they are gone: ``source`` is None for one that the caller has loaded, with 8 bits of colour.
    """
    if source is not None:
        import pillow_heif

        file = pillow_heif.open_heif(source, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        return np.asarray(file[image.tell()]).astype(np.uint32)
    if image.mode != "I;16":
        return None
    # Moved up to 16 bits.
    return np.asarray(image).astype(np.uint32) >> np.uint32(16 - image.info["bit_depth"])


def find_heif_cicp(image: Image.Image, primary: tuple[int, int] | None) -> tuple[int, int] | None:
    """Primaries and transfer (ITU-T H.273) of the current picture; ``primary``: those of the main one."""
    nclx = image.info.get("nclx_profile")
    if nclx:
        return nclx["color_primaries"], nclx["transfer_characteristics"]
    # Beside an ICC profile, the package does not tell them.
    return primary if image.info.get("primary") else None
