"""From the modes that Pillow has to grey or colours, and alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import InputError
from vrcodec.picture.intake.depth import Deep, deep_samples, highest_sample, tiff_tag, to_8_bits
from vrcodec.picture.intake.facts import FileFacts
from vrcodec.picture.intake.policy import Intake

Space = Literal["GRAY", "RGB", "CMYK", "LAB"]
Bytes = npt.NDArray[np.uint8]

_SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 277, 339
# Integers, or not said.
_UNSIGNED = {1, 4}
_SPACES: dict[str, Space] = {"CMYK": "CMYK", "LAB": "LAB"}
_REFUSED = {
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
    space: Space
    alpha: Bytes | None = None
    bilevel: bool = False
    indexed: bool = False


def extract(
    image: Image.Image, source: BinaryIO | None, facts: FileFacts, name: str, intake: Intake
) -> Samples:
    """Decode the current frame of ``image``. ``source``: its file, if there is one still.

    Raises InputError for what has no place in 8 bits of grey, RGB, CMYK or Lab.
    """
    _check_bands(image, name)
    highest = highest_sample(image, facts)
    _check_depth(highest, name, intake.reduce_depth)
    if highest > 255:
        deep = deep_samples(image, source, highest, name, intake.limits)
        if deep is not None:
            # A transparent colour is one of 16 bits: it is looked for before rounding.
            keyed = _keyed_alpha(deep, _colour_key(image))
            return _parted(to_8_bits(deep, highest), keyed)
    image.load()
    return _of_mode(image, facts, name)


def _check_bands(image: Image.Image, name: str) -> None:
    if not min(image.size):
        raise InputError(f"{name}: the picture is empty")
    if image.mode in _REFUSED and not (image.mode == "I" and image.format == "PPM"):
        raise InputError(f"{name}: {_REFUSED[image.mode]}")
    if not set(tiff_tag(image, _SAMPLE_FORMAT)) <= _UNSIGNED:
        raise InputError(f"{name}: {_REFUSED['I']}")
    samples = tiff_tag(image, _SAMPLES_PER_PIXEL)
    if samples and max(samples) > len(image.getbands()):
        raise InputError(f"{name}: has more samples a pixel than {image.mode}; drop them first")


def _check_depth(highest: int, name: str, reduce_depth: bool) -> None:
    if highest > 255 and not reduce_depth:
        raise InputError(
            f"{name}: has more than 8 bits a sample; convert it to 8 bits first, or ask for that with "
            "--reduce-depth"
        )


def _of_mode(image: Image.Image, facts: FileFacts, name: str) -> Samples:
    """Samples of a loaded image that Pillow gives with 8 bits or fewer."""
    mode = image.mode
    if mode in ("P", "PA"):
        return _from_palette(image, name)
    if mode in ("RGBX", "YCbCr"):
        return Samples(np.asarray(image.convert("RGB")), "RGB")
    if mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        raise InputError(f"{name}: has the unsupported mode {mode}; convert it to RGB first")
    array = np.asarray(image)
    if mode == "1":
        array = array.astype(np.uint8) * np.uint8(255)
    if mode in _SPACES:
        return Samples(array, _SPACES[mode])
    keyed = _keyed_alpha(array, _key_of_8_bits(image, facts))
    return _parted(array, keyed, bilevel=mode == "1" and keyed is None)


def _parted(array: Bytes, keyed: Bytes | None = None, bilevel: bool = False) -> Samples:
    """Grey, or colours, and alpha from an array of 1 to 4 channels; ``keyed``: alpha from elsewhere."""
    if array.ndim == 2:
        return Samples(array, "GRAY", keyed, bilevel)
    if array.shape[2] == 3:
        return Samples(array, "RGB", keyed)
    alpha = np.ascontiguousarray(array[..., -1])
    if array.shape[2] == 2:
        return Samples(np.ascontiguousarray(array[..., 0]), "GRAY", alpha)
    return Samples(np.ascontiguousarray(array[..., :3]), "RGB", alpha)


def _from_palette(image: Image.Image, name: str) -> Samples:
    """RGB of a palette's colours, and alpha where any of them has it."""
    if image.format == "PNG" and image.mode == "P":
        entries = len(image.getpalette() or ()) // 3
        if int(np.asarray(image).max()) >= entries:
            raise InputError(f"{name}: the picture is damaged: a pixel lies beyond the palette")
    if not image.has_transparency_data:
        return Samples(np.asarray(image.convert("RGB")), "RGB", indexed=True)
    array = np.asarray(image.convert("RGBA"))
    colours, alpha = (np.ascontiguousarray(array[..., part]) for part in (slice(3), 3))
    return Samples(colours, "RGB", alpha, indexed=True)


def _colour_key(image: Image.Image) -> tuple[int, ...]:
    """The single transparent colour of a grey or RGB picture, in the file's own values; or nothing."""
    key = image.info.get("transparency")
    if isinstance(key, int):
        return (key,)
    return tuple(key) if isinstance(key, tuple) else ()


def _key_of_8_bits(image: Image.Image, facts: FileFacts) -> tuple[int, ...]:
    key = _colour_key(image)
    if image.mode == "L" and facts.depth in (2, 4):
        # Pillow stretches the samples, and leaves the colour alone.
        highest = (1 << facts.depth) - 1
        return tuple((value & highest) * 255 // highest for value in key)
    return tuple(value & 255 for value in key)


def _keyed_alpha(array: Bytes | Deep, key: tuple[int, ...]) -> Bytes | None:
    """0 where a grey or RGB pixel is the transparent colour, else 255; None where there is none."""
    if len(key) != (1 if array.ndim == 2 else 3) or array.shape[2:] not in ((), (3,)):
        return None
    same = array == key[0] if array.ndim == 2 else (array == np.array(key)).all(axis=2)
    return np.where(same, 0, 255).astype(np.uint8)
