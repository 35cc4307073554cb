"""Decoding of any Pillow mode to 8-bit grey, RGB, CMYK or Lab samples, and alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import InputError
from vrcodec.picture.intake.depth import (
    Deep,
    find_maxval,
    find_stretch,
    read_deep_samples,
    tiff_tag,
    to_8_bits,
)
from vrcodec.picture.intake.file_header import FileHeader
from vrcodec.picture.intake.read_options import ReadOptions

ColourSpace = Literal["GRAY", "RGB", "CMYK", "LAB"]
Bytes = npt.NDArray[np.uint8]

_SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 277, 339
_NEW_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 330, 50706
_REDUCED = 1
# Unsigned integers, and undefined.
_UNSIGNED = {1, 4}
_SPACES: dict[str, ColourSpace] = {"CMYK": "CMYK", "LAB": "LAB"}
_REFUSED_MODES = {
    "F": "has floating-point samples; convert it to 8 bits first",
    "I": "has 32-bit or signed samples; convert it to 8 bits first",
    "La": "has premultiplied alpha; convert it to LA first",
    "RGBa": "has premultiplied alpha; convert it to RGBA first",
    "HSV": "is in HSV colours; convert it to RGB first",
}


@dataclass(frozen=True)
class Samples:
    """Decoded samples of 8 bits, as they lie in the file.

    ``colours``: (H, W) for grey, (H, W, 3) RGB or Lab, (H, W, 4) CMYK. ``alpha``: (H, W), 255 is opaque, or
    None. ``bilevel``: of 1 bit. ``indexed``: from a palette.
    """

    colours: Bytes
    space: ColourSpace
    alpha: Bytes | None = None
    bilevel: bool = False
    indexed: bool = False


def extract_samples(
    image: Image.Image, source: BinaryIO | None, header: FileHeader, name: str, options: ReadOptions
) -> Samples:
    """Decode the current frame of ``image``. ``source``: its file, None where that is gone.

    Raises InputError for what has no place in 8 bits of grey, RGB, CMYK or Lab.
    """
    _check_bands(image, name)
    maxval = find_maxval(image, header)
    _check_depth(maxval, name, options)
    if maxval > 255:
        deep = read_deep_samples(image, source, maxval, name, options.limits)
        if deep is not None:
            # The transparent colour has 16 bits, too: it is compared before rounding.
            key_alpha = _alpha_from_key(deep, _colour_key(image))
            return _split_alpha(to_8_bits(deep, maxval), key_alpha)
    image.load()
    return _read_8_bits(image, header, name)


def _check_bands(image: Image.Image, name: str) -> None:
    if not min(image.size):
        raise InputError(f"{name}: the picture is empty")
    if image.mode in _REFUSED_MODES and not (image.mode == "I" and image.format == "PPM"):
        raise InputError(f"{name}: {_REFUSED_MODES[image.mode]}")
    if not set(tiff_tag(image, _SAMPLE_FORMAT)) <= _UNSIGNED:
        raise InputError(f"{name}: {_REFUSED_MODES['I']}")
    if _is_camera_raw(image):
        raise InputError(
            f"{name}: is a camera raw picture, of which only a preview could be read; develop it to PNG or "
            "TIFF first"
        )
    samples = tiff_tag(image, _SAMPLES_PER_PIXEL)
    if samples and max(samples) > len(image.getbands()):
        raise InputError(f"{name}: has more samples a pixel than {image.mode}; drop them first")


def _is_camera_raw(image: Image.Image) -> bool:
    """Whether a TIFF is a DNG, or begins as NEF, ARW and others do: with a small copy of what lies deeper."""
    reduced = bool(max(tiff_tag(image, _NEW_SUBFILE_TYPE), default=0) & _REDUCED)
    begins_small = reduced and not image.tell() and bool(tiff_tag(image, _SUB_DIRECTORIES))
    return begins_small or bool(tiff_tag(image, _DNG_VERSION))


def _check_depth(maxval: int, name: str, options: ReadOptions) -> None:
    if maxval > 255 and not options.reduce_depth:
        words = f"{name}: has more than 8 bits a sample; convert it to 8 bits first"
        raise InputError(
            words + (", or ask for that with --reduce-depth" if options.on_offer else "")
        )


def _read_8_bits(image: Image.Image, header: FileHeader, name: str) -> Samples:
    """Samples of a loaded image that Pillow decodes to 8 bits or fewer."""
    mode = image.mode
    if mode in ("P", "PA"):
        return _read_palette(image, name)
    if mode in ("RGBX", "YCbCr"):
        return Samples(np.asarray(image.convert("RGB")), "RGB")
    if mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        raise InputError(f"{name}: has the unsupported mode {mode}; convert it to RGB first")
    array = np.asarray(image)
    if mode == "1":
        array = array.astype(np.uint8) * np.uint8(255)
    if mode in _SPACES:
        return Samples(array, _SPACES[mode])
    key_alpha = _alpha_from_key(array, _colour_key_in_8_bits(image, header))
    return _split_alpha(array, key_alpha, bilevel=mode == "1" and key_alpha is None)


def _split_alpha(array: Bytes, key_alpha: Bytes | None = None, bilevel: bool = False) -> Samples:
    """Grey or RGB, and alpha, from 1 to 4 channels; ``key_alpha``: alpha from a transparent colour."""
    if array.ndim == 2:
        return Samples(array, "GRAY", key_alpha, bilevel)
    if array.shape[2] == 3:
        return Samples(array, "RGB", key_alpha)
    alpha = np.ascontiguousarray(array[..., -1])
    if array.shape[2] == 2:
        return Samples(np.ascontiguousarray(array[..., 0]), "GRAY", alpha)
    return Samples(np.ascontiguousarray(array[..., :3]), "RGB", alpha)


def _read_palette(image: Image.Image, name: str) -> Samples:
    """RGB of an indexed image, and alpha where any colour of its palette has it."""
    if image.format == "PNG" and image.mode == "P":
        entries = len(image.getpalette() or ()) // 3
        if int(np.asarray(image).max()) >= entries:
            raise InputError(f"{name}: the picture is damaged: a pixel lies beyond the palette")
    # A colour is left over from before there was a palette.
    if isinstance(image.info.get("transparency"), tuple) or not image.has_transparency_data:
        return Samples(np.asarray(image.convert("RGB")), "RGB", indexed=True)
    array = np.asarray(image.convert("RGBA"))
    colours, alpha = (np.ascontiguousarray(array[..., channels]) for channels in (slice(3), 3))
    return Samples(colours, "RGB", alpha, indexed=True)


def _colour_key(image: Image.Image) -> tuple[int, ...]:
    """The single transparent colour of a grey or RGB picture, in the values of the file; else ()."""
    key = image.info.get("transparency")
    if isinstance(key, int):
        return (key,)
    return tuple(key) if isinstance(key, tuple) else ()


def _colour_key_in_8_bits(image: Image.Image, header: FileHeader) -> tuple[int, ...]:
    key = _colour_key(image)
    stretch = find_stretch(image, header) if header.depth else _guess_stretch(image, key)
    if stretch > 1:
        # Pillow scales the samples to 8 bits, but not this colour.
        maxval = 255 // stretch
        return tuple((value & maxval) * stretch for value in key)
    return tuple(value & 255 for value in key)


def _guess_stretch(image: Image.Image, key: tuple[int, ...]) -> int:
    """`find_stretch` of a PNG that is loaded, whose depth nobody knows any more."""
    if image.format != "PNG" or image.mode != "L" or not key:
        return 1
    samples = np.asarray(image)
    # Of 8 bits, the transparent colour would be one that the picture does not have.
    if (samples == key[0]).any():
        return 1
    steps = (step for step in (255 // 3, 255 // 15) if key[0] * step <= 255)
    return next((step for step in steps if not (samples % step).any()), 1)


def _alpha_from_key(array: Bytes | Deep, key: tuple[int, ...]) -> Bytes | None:
    """0 where a grey or RGB pixel is the transparent colour, else 255; None where there is none."""
    if len(key) != (1 if array.ndim == 2 else 3) or array.shape[2:] not in ((), (3,)):
        return None
    transparent = array == key[0] if array.ndim == 2 else (array == np.array(key)).all(axis=2)
    return np.where(transparent, 0, 255).astype(np.uint8)
