"""The images of the page: the decoded picture, its levels, its quality map, and the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from vrcodec.bitstream.inspection import Info
from vrcodec.codec import CodedPicture, Decoder
from vrcodec.limits import Limits
from vrcodec.maps.levels import Levels, levels_per_pixel, read_coded_levels
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture

_WHITE = 255


@dataclass(frozen=True)
class PageImage:
    """An image of the page. ``name``: of its file, in the URL. ``encode_png``: makes the bytes of that.

    ``needed_bytes``: of the .vrc file, from its beginning; None where the image does not come from there alone.
    """

    name: str
    title: str
    encode_png: Callable[[], bytes]
    needed_bytes: int | None = None


@dataclass(frozen=True)
class DecodedFile:
    """A .vrc file, decoded. ``first_level``: of its progressive levels, the first that shows something.

    ``levels``: of its quality map, on the map's grid, where it has one.
    """

    decoder: Decoder
    coded: CodedPicture
    info: Info
    picture: Picture
    first_level: int
    levels: Levels | None = None
    original: Picture | None = None

    @staticmethod
    def decode(
        data: bytes, decoder: Decoder, info: Info, limits: Limits, original: Picture | None
    ) -> DecodedFile:
        """Decode ``data``; ``info``: of it, from `inspect`. ``original``: of the same size.

        Raises FormatError, CorruptError, LimitError, WeightsError or DeviceError.
        """
        coded = decoder.read(data)
        picture = decoder.reconstruct(coded)
        levels = None if info.qmap_bytes is None else read_coded_levels(data, limits)
        first_level = decoder.first_visible_level(coded)
        return DecodedFile(decoder, coded, info, picture, first_level, levels, original)

    def compare_original(self) -> dict[str, str]:
        """PSNR against the original, as label and value; empty without one, or with alpha.

        Colours of transparent pixels are not seen, so their error means nothing.
        """
        if self.original is None or self.original.alpha is not None:
            return {}
        decibels = psnr(self.original.to_rgb(), self.picture.to_rgb())
        same = decibels == float("inf")
        return {"against the original": "no pixel differs" if same else f"PSNR {decibels:.3f} dB"}

    def images(self) -> list[PageImage]:
        """All images, the decoded picture last; the page compares it with the first."""
        title, encode_png = self._title("decoded"), partial(_png, self.picture)
        decoded = PageImage("decoded.png", title, encode_png, self.info.bytes)
        return [*self._other_images(), decoded]

    def _other_images(self) -> Iterator[PageImage]:
        if self.original is not None:
            yield PageImage("original.png", "original", partial(_png, self.original))
        if self.levels is not None:
            yield PageImage(
                "map.png", "quality map, white is best", partial(self._map_png, self.levels)
            )
        for number in range(self.first_level, len(self.info.levels)):
            title = self._title(f"level {number} of {len(self.info.levels)}", number)
            yield PageImage(
                f"level-{number}.png",
                title,
                partial(self._level_png, number),
                self._needed_bytes(number),
            )

    def _title(self, label: str, levels: int | None = None) -> str:
        """``label`` and the bits per pixel of the first ``levels`` levels, or of all."""
        bits = 8 * self._needed_bytes(levels)
        return f"{label}, {bits / (self.info.width * self.info.height):.3f} bpp"

    def _needed_bytes(self, levels: int | None) -> int:
        """Bytes of the file up to the end of the first ``levels`` levels, or of all."""
        later = sum(self.info.levels[levels:]) if levels else 0
        return self.info.bytes - later

    def _level_png(self, number: int) -> bytes:
        return _png(self.decoder.reconstruct(self.coded, number))

    def _map_png(self, levels: Levels) -> bytes:
        grey = np.rint(levels * _WHITE).astype(np.uint8)
        width, height = self.picture.width, self.picture.height
        return _png(Picture.from_array(levels_per_pixel(grey, width, height)))


def _png(picture: Picture) -> bytes:
    return serialise_picture(picture)
