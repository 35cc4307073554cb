"""The picture that is coded: pixels, alpha and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import InputError
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.notes import Note

# Bilevel, grey, colour.
Mode = Literal["1", "L", "RGB"]

_WHITE = 255


@dataclass(frozen=True)
class Picture:
    """``pixels`` (H, W, 3) uint8; a grey picture (``mode`` L) has three equal channels.

    Those of a bilevel one (``mode`` 1) are 0 or 255. ``alpha``: (H, W) uint8, 255 is opaque; None: all is.
    ``lossless_cells``: which of its cells are to be stored without loss (`vrcodec.picture.graphics`).
    ``notes``: what the user should know of how it was read.
    """

    pixels: npt.NDArray[np.uint8]
    mode: Mode = "RGB"
    alpha: npt.NDArray[np.uint8] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    lossless_cells: npt.NDArray[np.bool_] | None = None
    notes: tuple[Note, ...] = ()

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
        """From uint8 (H, W) grey or (H, W, 3) RGB, each with a channel more for alpha; or bool (H, W) bilevel.

        Raises InputError for anything else.
        """
        # A matrix has two dimensions whatever is taken of it.
        array = array.view(np.ndarray)
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
        total = self.pixels.astype(np.uint16).sum(axis=2)
        return ((total + 1) // 3).astype(np.uint8)

    def to_array(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.bool_]:
        """(H, W) for grey, (H, W, 3) for RGB, with alpha (H, W, 2) and (H, W, 4); bool (H, W) for bilevel.

        A bilevel picture with alpha becomes grey with alpha.
        """
        colours = self.colours()
        if self.alpha is not None:
            return np.dstack([colours, self.alpha])
        return colours > 127 if self.mode == "1" else colours

    def to_rgb(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) without alpha, as a user sees it: the channels of a grey or bilevel picture are equal."""
        return Picture.from_array(self.colours()).pixels

    def on_white(self) -> Picture:
        """The picture as it is seen on white, without alpha; a bilevel one with alpha becomes grey."""
        if self.alpha is None:
            return self
        alpha = self.alpha[..., None].astype(np.uint16)
        # To the nearest value.
        blended = (self.to_rgb() * alpha + _WHITE * (255 - alpha) + 127) // 255
        mode: Mode = "RGB" if self.mode == "RGB" else "L"
        return replace(self, pixels=blended.astype(np.uint8), mode=mode, alpha=None)

    def to_image(self) -> Image.Image:
        """A Pillow image of mode 1, L, LA, RGB or RGBA, with metadata in its ``info``."""
        image = Image.fromarray(self.to_array())
        image.info.update(self.metadata.to_info())
        return image
