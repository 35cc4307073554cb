"""Samples of more than 8 bits: finding out, and rounding them to 8 where that is asked for."""

from __future__ import annotations

import io
import sys
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from vrcodec.errors import InputError
from vrcodec.limits import Limits
from vrcodec.picture.intake.facts import FileFacts
from vrcodec.picture.intake.pixel_limit import our_limit

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR = 258, 262, 284
_WHITE_IS_ZERO, _SEPARATE = 0, 2

Deep = npt.NDArray[np.uint32]

_opposite_of_native = "B" if sys.byteorder == "little" else "L"
# How Pillow unpacks the upper bytes of samples -> how it unpacks the lower ones.
_LOWER = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _opposite_of_native))
}
# Two bytes of grey, two of alpha.
_GREY_ALPHA = "LA;16B"


def tiff_tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """Value of a TIFF tag; empty for other formats and absent tags."""
    if image.format != "TIFF":
        return ()
    value = getattr(image, "tag_v2", {}).get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def highest_sample(image: Image.Image, facts: FileFacts) -> int:
    """What full intensity is in the file: 255, or more where Pillow is about to cut or has not cut."""
    if facts.depth is not None:
        return 255 if facts.depth <= 8 else (1 << facts.depth) - 1
    if image.format == "PPM":
        return max(255, _maxval(image))
    depth = max(tiff_tag(image, _BITS_PER_SAMPLE), default=16 if image.mode[:2] == "I;" else 8)
    return 255 if depth <= 8 else (1 << depth) - 1


def _maxval(image: Image.Image) -> int:
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    if "I;16B" in repr(arguments):
        return 65535
    return max((part[-1] for part in arguments if isinstance(part, tuple)), default=255)


def deep_samples(
    image: Image.Image, source: BinaryIO | None, highest: int, name: str, limits: Limits
) -> Deep | None:
    """All bits of an image that has not been loaded yet, (H, W) or (H, W, 2 .. 4), 0 .. ``highest``.

    None where Pillow does the rounding. Raises InputError for kinds that cannot be read in full.
    """
    if image.format in ("AVIF", "PPM") and image.mode != "I":
        return None
    if image.format == "PNG" and image.tell():
        raise InputError(f"{name}: has frames of more than 8 bits; convert them to 8 bits first")
    if image.mode == "I" and image.format == "PPM":
        # Pillow has stretched them to 16 bits, which can be undone.
        return _rounded(np.asarray(image), 65535, highest)
    if image.mode[:2] == "I;":
        samples: Deep = np.asarray(image).astype(np.uint32)
        inverted = tiff_tag(image, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)
        return np.uint32(highest) - samples if inverted else samples
    return _both_bytes(image, source, name, limits)


def to_8_bits(samples: Deep, highest: int) -> npt.NDArray[np.uint8]:
    """``samples`` of 0 .. ``highest``, correctly rounded to 0 .. 255."""
    return _rounded(samples, highest, 255).astype(np.uint8)


def _rounded(samples: npt.NDArray[np.integer[Any]], highest: int, new: int) -> Deep:
    """``samples`` of 0 .. ``highest`` as such of 0 .. ``new``; all products fit 32 bits."""
    scaled: Deep = samples.astype(np.uint32) * np.uint32(new) + np.uint32(highest // 2)
    return scaled // np.uint32(highest)


def _both_bytes(image: Image.Image, source: BinaryIO | None, name: str, limits: Limits) -> Deep:
    """Samples of 16 bits, of which Pillow gives one byte at a time: decoded twice."""
    form = _form(image)
    planes = tiff_tag(image, _PLANAR) == (_SEPARATE,)
    if source is None or planes or (form not in _LOWER and form != _GREY_ALPHA):
        raise InputError(f"{name}: has more than 8 bits a sample; convert it to 8 bits first")
    with our_limit(limits, name):
        again = Image.open(io.BytesIO(_content(source)), formats=[str(image.format)])
        again.seek(image.tell())
    if form == _GREY_ALPHA:
        # Four bytes a pixel, as those of RGBA are.
        parts = _unpacked(again, "RGBA")
        return _joined(parts[..., 0::2], parts[..., 1::2])
    return _joined(np.asarray(image), _unpacked(again, _LOWER[form]))


def _joined(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8]) -> Deep:
    joined: Deep = upper.astype(np.uint32) << np.uint32(8)
    return joined | lower


def _form(image: Image.Image) -> str:
    """How Pillow is going to unpack the samples; empty where tiles differ."""
    forms = {t[3][0] if isinstance(t[3], tuple) else t[3] for t in getattr(image, "tile", [])}
    return str(forms.pop()) if len(forms) == 1 else ""


def _content(source: BinaryIO) -> bytes:
    """All of a file, whose position is left as it was."""
    position = source.tell()
    source.seek(0)
    content = source.read()
    source.seek(position)
    return content


def _unpacked(image: ImageFile.ImageFile, form: str) -> npt.NDArray[np.uint8]:
    """An image that has not been loaded yet, unpacked as ``form`` in place of Pillow's choice."""
    image.tile = [
        tile._replace(args=(form, *tile.args[1:]) if isinstance(tile.args, tuple) else form)
        for tile in image.tile
    ]
    return np.asarray(image)
