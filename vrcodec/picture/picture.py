"""A picture with all that belongs to it, and writing it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vrcodec.errors import InputError, UsageError
from vrcodec.picture.metadata import Metadata

# Bilevel, grey, colour.
Mode = Literal["1", "L", "RGB"]
OutputFormat = Literal["png", "ppm", "npy"]

# Extension of an output file -> its format.
SUFFIXES: dict[str, OutputFormat] = {
    ".png": "png",
    ".ppm": "ppm",
    ".pgm": "ppm",
    ".pbm": "ppm",
    ".pnm": "ppm",
    ".npy": "npy",
}

# What Pillow has in front of EXIF data, as JPEG does.
_EXIF_PREFIX = b"Exif\0\0"
# International text, not compressed, of no language, as XMP asks for.
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"


@dataclass(frozen=True)
class Picture:
    """``pixels`` (H, W, 3) uint8; a grey picture (``mode`` L) has three equal channels.

    A bilevel one (``mode`` 1) has such of 0 and 255. ``alpha``: (H, W) uint8, 255 is opaque; None where all is.
    """

    pixels: npt.NDArray[np.uint8]
    mode: Mode = "RGB"
    alpha: npt.NDArray[np.uint8] | None = None
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @staticmethod
    def from_array(array: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> Picture:
        """uint8 (H, W) grey or (H, W, 3) RGB, each with a channel more for alpha; bool (H, W) bilevel.

        Raises InputError for anything else.
        """
        if array.ndim == 2 and array.dtype == np.bool_ and array.size:
            return replace(Picture.from_array(array.astype(np.uint8) * np.uint8(255)), mode="1")
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
            raise InputError(
                "an array must be uint8 of shape (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), or bool (H, W)"
            )
        channels = array.shape[2] if array.ndim == 3 else 1
        if array.ndim == 3 and channels not in (2, 3, 4):
            raise InputError(f"an array must have 2, 3 or 4 channels, not {channels}")
        alpha = np.ascontiguousarray(array[:, :, -1]) if channels in (2, 4) else None
        if channels >= 3:
            return Picture(np.ascontiguousarray(array[:, :, :3]), "RGB", alpha)
        grey = array.reshape(*array.shape[:2], channels)[:, :, :1]
        return Picture(np.repeat(grey, 3, axis=2), "L", alpha)

    def colours(self) -> npt.NDArray[np.uint8]:
        """(H, W) for grey and bilevel, (H, W, 3) for RGB, without alpha."""
        if self.mode == "RGB":
            return self.pixels
        # The model decodes three channels that differ a little: their mean is the better estimate.
        mean = self.pixels.astype(np.uint16).sum(axis=2)
        return ((mean + 1) // 3).astype(np.uint8)

    def to_array(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.bool_]:
        """(H, W) for grey, (H, W, 3) for RGB, with alpha (H, W, 2) and (H, W, 4); bool (H, W) for bilevel.

        A bilevel picture with alpha is as a grey one with alpha.
        """
        colours = self.colours()
        if self.alpha is not None:
            return np.dstack([colours, self.alpha])
        return colours > 127 if self.mode == "1" else colours

    def displayed(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) as a user gets it, but for alpha: the three channels of a grey picture are one."""
        return Picture.from_array(self.colours()).pixels

    def to_image(self) -> Image.Image:
        """A Pillow image of mode 1, L, LA, RGB or RGBA, with metadata in its ``info``."""
        image = Image.fromarray(self.to_array())
        own = self.metadata
        image.info.update(
            {
                name: content
                for name, content in (
                    ("icc_profile", own.icc),
                    ("exif", own.exif and _EXIF_PREFIX + own.exif),
                    ("xmp", own.xmp),
                )
                if content
            }
        )
        return image


def lost_in(picture: Picture, output: OutputFormat) -> list[str]:
    """What of the picture's metadata a format has no place for, in words."""
    own = picture.metadata
    found = [("an ICC profile", own.icc), ("EXIF data", own.exif), ("XMP data", own.xmp)]
    return [] if output == "png" else [words for words, content in found if content]


def serialise_picture(picture: Picture, output: OutputFormat) -> bytes:
    """The picture as the bytes of a PNG, PPM (PGM when grey, PBM when bilevel) or NumPy file.

    Only PNG has metadata (`lost_in`). Raises UsageError for alpha in a PPM, which has none.
    """
    buffer = io.BytesIO()
    if output == "npy":
        np.save(buffer, picture.to_array())
    elif output == "ppm":
        if picture.alpha is not None:
            raise UsageError("has alpha, and PPM files cannot; write a .png or .npy")
        picture.to_image().save(buffer, "PPM")
    else:
        # Level 1 takes a third of the time of the default for files a few per cent larger.
        own = _png_metadata(picture.metadata)
        picture.to_image().save(buffer, "PNG", compress_level=1, **own)
    return buffer.getvalue()


def _png_metadata(own: Metadata) -> dict[str, Any]:
    """Pillow's options for it. All are given, so that nothing is taken from the image's ``info``."""
    text = PngInfo()
    if own.xmp:
        # As it is: Pillow would have it as text, and not every packet is UTF-8.
        text.add(b"iTXt", _PNG_XMP + own.xmp)
    return {"icc_profile": own.icc, "exif": own.exif or b"", "pnginfo": text}
