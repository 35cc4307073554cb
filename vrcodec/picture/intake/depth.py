"""Samples of more than 8 bits: detecting them, reading all their bits, and rounding them to 8."""

from __future__ import annotations

import io
import sys
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from vrcodec.errors import InputError
from vrcodec.limits import Limits
from vrcodec.picture.intake.file_header import FileHeader
from vrcodec.picture.intake.heif import read_deep_heif
from vrcodec.picture.intake.pixel_limit import pillow_pixel_limit

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR = 258, 262, 284
_WHITE_IS_ZERO, _SEPARATE = 0, 2

Deep = npt.NDArray[np.uint32]

_opposite_of_native = "B" if sys.byteorder == "little" else "L"
# Raw mode by which Pillow unpacks the upper bytes of samples -> the one that gives the lower ones.
_LOWER_BYTES = {
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


def find_maxval(image: Image.Image, header: FileHeader) -> int:
    """The sample value of full intensity: 255, or more where the file has more than 8 bits a sample."""
    told = image.info.get("bit_depth") if image.format == "HEIF" else header.depth
    if told is not None:
        return 255 if told <= 8 else (1 << told) - 1
    if image.format == "PPM":
        return max(255, _ppm_maxval(image))
    depth = max(tiff_tag(image, _BITS_PER_SAMPLE), default=16 if image.mode[:2] == "I;" else 8)
    return 255 if depth <= 8 else (1 << depth) - 1


def find_stretch(image: Image.Image, header: FileHeader) -> int:
    """What Pillow multiplies the samples of a PNG by: those of grey of 2 and 4 bits fill 8 bits then."""
    if image.format != "PNG" or image.mode != "L" or header.depth not in (2, 4):
        return 1
    return 255 // ((1 << header.depth) - 1)


def is_inverted(image: Image.Image) -> bool:
    """Whether white is zero in samples of more than 8 bits, as Pillow gives them."""
    return tiff_tag(image, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)


def _ppm_maxval(image: Image.Image) -> int:
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    if "I;16B" in repr(arguments):
        return 65535
    return max((args[-1] for args in arguments if isinstance(args, tuple)), default=255)


def read_deep_samples(
    image: Image.Image, source: BinaryIO | None, maxval: int, name: str, limits: Limits
) -> Deep | None:
    """All bits of an image that has not been loaded yet, (H, W) or (H, W, 2 .. 4), 0 .. ``maxval``.

    None where Pillow does the rounding. Raises InputError for kinds that cannot be read in full.
    """
    if image.format in ("AVIF", "PPM") and image.mode != "I":
        return None
    if image.format == "HEIF":
        return read_deep_heif(image, source)
    if image.format == "PNG" and image.tell():
        raise InputError(f"{name}: has frames of more than 8 bits; convert them to 8 bits first")
    if image.mode == "I" and image.format == "PPM":
        # Pillow has scaled them to 16 bits, which can be undone.
        return _rescale(np.asarray(image), 65535, maxval)
    if image.mode[:2] == "I;":
        samples: Deep = np.asarray(image).astype(np.uint32)
        return np.uint32(maxval) - samples if is_inverted(image) else samples
    return _read_16_bits(image, source, name, limits)


def to_8_bits(samples: Deep, maxval: int) -> npt.NDArray[np.uint8]:
    """``samples`` of 0 .. ``maxval``, correctly rounded to 0 .. 255."""
    return _rescale(samples, maxval, 255).astype(np.uint8)


def _rescale(samples: npt.NDArray[np.integer[Any]], maxval: int, new_maxval: int) -> Deep:
    """``samples`` of 0 .. ``maxval`` rounded to 0 .. ``new_maxval``; all products fit 32 bits."""
    scaled: Deep = samples.astype(np.uint32) * np.uint32(new_maxval) + np.uint32(maxval // 2)
    return scaled // np.uint32(maxval)


def _read_16_bits(image: Image.Image, source: BinaryIO | None, name: str, limits: Limits) -> Deep:
    """Samples of 16 bits, decoded twice, because Pillow gives one byte of them at a time."""
    raw_mode = _raw_mode(image)
    planar = tiff_tag(image, _PLANAR) == (_SEPARATE,)
    if source is None or planar or (raw_mode not in _LOWER_BYTES and raw_mode != _GREY_ALPHA):
        raise InputError(f"{name}: has more than 8 bits a sample; convert it to 8 bits first")
    with pillow_pixel_limit(limits, name):
        second = Image.open(io.BytesIO(_read_all(source)), formats=[str(image.format)])
        second.seek(image.tell())
    if raw_mode == _GREY_ALPHA:
        # Four bytes a pixel, as those of RGBA are.
        byte_planes = _unpack_as(second, "RGBA")
        return _join_bytes(byte_planes[..., 0::2], byte_planes[..., 1::2])
    return _join_bytes(np.asarray(image), _unpack_as(second, _LOWER_BYTES[raw_mode]))


def _join_bytes(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8]) -> Deep:
    joined: Deep = upper.astype(np.uint32) << np.uint32(8)
    return joined | lower


def _raw_mode(image: Image.Image) -> str:
    """The raw mode by which Pillow is going to unpack the samples; empty where tiles differ."""
    raw_modes = {t[3][0] if isinstance(t[3], tuple) else t[3] for t in getattr(image, "tile", [])}
    return str(raw_modes.pop()) if len(raw_modes) == 1 else ""


def _read_all(source: BinaryIO) -> bytes:
    """All of a file, whose position is left as it was."""
    position = source.tell()
    source.seek(0)
    content = source.read()
    source.seek(position)
    return content


def _unpack_as(image: ImageFile.ImageFile, raw_mode: str) -> npt.NDArray[np.uint8]:
    """An image that has not been loaded yet, unpacked by ``raw_mode`` in place of Pillow's choice."""
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
    return np.asarray(image)
