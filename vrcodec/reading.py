"""Reading pictures: what is kept, and what is refused rather than lost."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture import Picture

READABLE = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "AVIF")

_METADATA = {
    "icc_profile": "an ICC profile",
    "exif": "EXIF data",
    "xmp": "XMP data",
    "XML:com.adobe.xmp": "XMP data",
    "Raw profile type exif": "EXIF data",
    "Raw profile type APP1": "EXIF data",
    "Raw profile type icc": "an ICC profile",
    "Raw profile type xmp": "XMP data",
}
# What PNG may say of sRGB without meaning anything else, and how far rounding may take it.
_SRGB_GAMMA = 1 / 2.2
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_COLOUR_TOLERANCE = 0.005

# The configuration boxes of an AVIF file stand in front of its samples.
_AVIF_HEAD_BYTES = 1 << 16

# Pillow's limit is a global of its module.
_pillow_lock = threading.RLock()

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_SAMPLES_PER_PIXEL = 277
_TIFF_EXIF = 34665
_REFUSED_MODES = {
    "1": "is bilevel; convert it to grey first",
    "P": "has a palette; convert it to RGB or grey first",
    "LA": "has an alpha channel; flatten it onto a background first",
    "PA": "has an alpha channel; flatten it onto a background first",
    "RGBA": "has an alpha channel; flatten it onto a background first",
    "CMYK": "is CMYK; convert it to RGB first",
    "LAB": "is in Lab colours; convert it to RGB first",
    "F": "has floating-point samples; convert it to 8 bits first",
    "I": "has more than 8 bits a sample; convert it to 8 bits first",
}


def read_picture(
    source: BinaryIO, name: str, *, strip: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Picture:
    """Decode an 8-bit RGB or grey picture.

    ``strip`` drops ICC profile, EXIF and XMP (after turning the picture as EXIF says); otherwise a
    picture that has them is refused, because they would be lost. Raises InputError or LimitError.
    """
    with opened_image(source, name, limits) as image:
        return _kept_picture(image, name, strip, source)


@contextmanager
def opened_image(source: BinaryIO, name: str, limits: Limits) -> Iterator[Image.Image]:
    """An image of a format that is taken in, within ``limits``; damage inside is an InputError."""
    with _damage_as_input_error(name):
        with _no_pillow_limit():
            image = Image.open(source, formats=READABLE)
        with image:
            limits.check_picture(name, *image.size)
            yield image


def open_picture(path: Path, *, strip: bool = False, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """`read_picture` of a file. Raises InputError or LimitError."""
    try:
        with path.open("rb") as file:
            return read_picture(file, str(path), strip=strip, limits=limits)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def picture_from_image(image: Image.Image, *, strip: bool = False) -> Picture:
    """A Pillow image in memory -> Picture, under the rules of `read_picture`."""
    with _damage_as_input_error("image"):
        return _kept_picture(image, "image", strip, getattr(image, "fp", None))


@contextmanager
def _damage_as_input_error(name: str) -> Iterator[None]:
    """Pillow's plugins raise whatever the damage brings about; we raise InputError."""
    try:
        yield
    except VrcError:
        raise
    except MemoryError:
        raise LimitError(f"{name}: not enough memory to decode this picture") from None
    except UnidentifiedImageError:
        known = ", ".join(READABLE)
        raise InputError(f"{name}: not a picture that can be read ({known})") from None
    except Exception as error:
        raise InputError(f"{name}: the picture is damaged: {error}") from error


def _kept_picture(image: Image.Image, name: str, strip: bool, source: BinaryIO | None) -> Picture:
    """Decode ``image`` unless something of it would be lost."""
    _check_samples(image, source, name)
    image.load()
    # Some formats keep metadata behind the samples.
    _check_metadata(image, name, strip)
    return _from_image(image, name)


def _from_image(image: Image.Image, name: str) -> Picture:
    upright = ImageOps.exif_transpose(image)
    array = np.asarray(upright)
    if array.dtype != np.uint8 or not array.size:
        raise InputError(f"{name}: not a picture with 8 bits a sample")
    return Picture.from_array(array)


def _check_samples(image: Image.Image, source: BinaryIO | None, name: str) -> None:
    _check_mode(image, name)
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{name}: has several frames; extract one first")
    if _has_deep_samples(image, source):
        raise InputError(f"{name}: {_REFUSED_MODES['I']}")
    samples = _tiff_tag(image, _TIFF_SAMPLES_PER_PIXEL)
    if samples and max(samples) > len(image.getbands()):
        raise InputError(f"{name}: has more samples a pixel than {image.mode}; drop them first")


def _check_metadata(image: Image.Image, name: str, strip: bool) -> None:
    present = {text for key, text in _METADATA.items() if image.info.get(key)}
    if _tiff_tag(image, _TIFF_EXIF):
        present.add("EXIF data")
    if _has_other_colours(image):
        present.add("a gamma or primaries of its own")
    if present and not strip:
        raise InputError(
            f"{name}: has {' and '.join(sorted(present))}, which this version cannot keep; "
            "encode without it by asking to strip it (--strip)"
        )


def _has_other_colours(image: Image.Image) -> bool:
    """Whether a PNG says that its colours are not those of sRGB, without an ICC profile."""
    if "srgb" in image.info:
        return False
    gamma = image.info.get("gamma", _SRGB_GAMMA)
    primaries = image.info.get("chromaticity", _SRGB_CHROMATICITY)
    differences = [abs(a - b) for a, b in zip(primaries, _SRGB_CHROMATICITY, strict=True)]
    return max(abs(gamma - _SRGB_GAMMA), *differences) > _COLOUR_TOLERANCE


def _tiff_tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """Value of a TIFF tag; empty for other formats and absent tags."""
    if image.format != "TIFF":
        return ()
    value = getattr(image, "tag_v2", {}).get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _check_mode(image: Image.Image, name: str) -> None:
    if "transparency" in image.info:
        raise InputError(f"{name}: {_REFUSED_MODES['RGBA']}")
    if image.mode not in ("L", "RGB"):
        reason = _REFUSED_MODES.get(image.mode, f"has the unsupported mode {image.mode}")
        raise InputError(f"{name}: {_REFUSED_MODES['I'] if image.mode[:2] == 'I;' else reason}")


def _has_deep_samples(image: Image.Image, source: BinaryIO | None) -> bool:
    """Whether Pillow is about to cut samples of more than 8 bits down to 8."""
    if image.format == "AVIF":
        return source is not None and _avif_is_deep(source)
    if max(_tiff_tag(image, _TIFF_BITS_PER_SAMPLE), default=8) > 8:
        return True
    layout = [tile[3] for tile in getattr(image, "tile", [])]
    if image.format == "PPM":
        return any(isinstance(part, tuple) and part[-1] > 255 for part in layout)
    return image.format == "PNG" and ";16" in repr(layout)


def _avif_is_deep(source: BinaryIO) -> bool:
    """Whether the codec configuration (av1C box) has the flags of 10 or 12 bits."""
    position = source.tell()
    source.seek(0)
    head = source.read(_AVIF_HEAD_BYTES)
    source.seek(position)
    found = head.find(b"av1C")
    return 0 <= found < len(head) - 6 and bool(head[found + 6] & 0x60)


@contextmanager
def _no_pillow_limit() -> Iterator[None]:
    """Leave the decision about large pictures to our own limits; one thread at a time."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = previous
