"""A picture with all that belongs to it, and writing it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import InputError
from vrcodec.metadata import Metadata

# Bilevel, grey, colour.
Mode = Literal["1", "L", "RGB"]
OutputFormat = Literal["png", "ppm", "npy"]

# Extension of an output file -> its format.
SUFFIXES: dict[str, OutputFormat] = {
    ".png": "png",
    ".ppm": "ppm",
    ".pgm": "ppm",
    ".pnm": "ppm",
    ".npy": "npy",
}


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
    def from_array(array: npt.NDArray[np.uint8]) -> Picture:
        """(H, W) grey or (H, W, 3) RGB, uint8. Raises InputError for anything else."""
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
            raise InputError("an array must be uint8 of shape (H, W) or (H, W, 3)")
        if array.ndim == 2:
            return Picture(np.repeat(array[:, :, None], 3, axis=2), "L")
        if array.shape[2] != 3:
            raise InputError(f"an array must have 3 channels, not {array.shape[2]}")
        return Picture(np.ascontiguousarray(array), "RGB")

    def to_array(self) -> npt.NDArray[np.uint8]:
        """(H, W) for grey, (H, W, 3) for RGB."""
        if self.mode == "RGB":
            return self.pixels
        # The model decodes three channels that differ a little: their mean is the better estimate.
        mean = self.pixels.astype(np.uint16).sum(axis=2)
        return ((mean + 1) // 3).astype(np.uint8)

    def displayed(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) as a user gets it: the three channels of a grey picture are one."""
        return Picture.from_array(self.to_array()).pixels

    def to_image(self) -> Image.Image:
        """A Pillow image of the picture's mode."""
        return Image.fromarray(self.to_array())


def serialise_picture(picture: Picture, output: OutputFormat) -> bytes:
    """The picture as the bytes of a PNG, PPM (PGM when grey) or NumPy file."""
    buffer = io.BytesIO()
    if output == "npy":
        np.save(buffer, picture.to_array())
    elif output == "ppm":
        picture.to_image().save(buffer, "PPM")
    else:
        # Level 1 takes a third of the time of the default for files a few per cent larger.
        picture.to_image().save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
