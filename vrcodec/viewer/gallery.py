"""What there is to look at in a .vrc file: the picture, its levels, its quality map, and the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from vrcodec.bitstream.inspection import Info
from vrcodec.codec import Coded, Decoder
from vrcodec.limits import Limits
from vrcodec.maps.levels import Levels, levels_of, over_picture
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture, serialise_picture

_WHITE = 255


@dataclass(frozen=True)
class View:
    """One picture. ``name``: of its file on the page. ``png``: makes the bytes of that."""

    name: str
    title: str
    png: Callable[[], bytes]


@dataclass(frozen=True)
class Gallery:
    """A file, decoded. ``levels``: of its quality map, on the map's grid, where it has one."""

    decoder: Decoder
    coded: Coded
    info: Info
    picture: Picture
    levels: Levels | None = None
    original: Picture | None = None

    @staticmethod
    def of_file(
        data: bytes, decoder: Decoder, info: Info, limits: Limits, original: Picture | None
    ) -> Gallery:
        """Decode ``data``, of which `inspect` said ``info``. ``original``: of the same size.

        Raises FormatError, CorruptError, LimitError, WeightsError or DeviceError.
        """
        coded = decoder.read(data)
        picture = decoder.picture(coded)
        levels = None if info.qmap_bytes is None else levels_of(data, limits)
        return Gallery(decoder, coded, info, picture, levels, original)

    def comparison(self) -> dict[str, str]:
        """How near the picture is to the original, in words; empty where that says nothing.

        Where a picture is transparent its colours are nobody's.
        """
        if self.original is None or self.original.alpha is not None:
            return {}
        decibels = psnr(self.original.displayed(), self.picture.displayed())
        same = decibels == float("inf")
        return {"against the original": "no pixel differs" if same else f"PSNR {decibels:.3f} dB"}

    def views(self) -> list[View]:
        """All there is, the decoded picture last, and before it what one would compare it with first."""
        return [*self._others(), View("decoded.png", self._title("decoded"), self._decoded)]

    def _others(self) -> Iterator[View]:
        if self.original is not None:
            yield View("original.png", "original", partial(_png, self.original))
        if self.levels is not None:
            yield View("map.png", "quality map, white is best", partial(self._map, self.levels))
        for number in range(1, len(self.info.levels)):
            title = self._title(f"level {number} of {len(self.info.levels)}", number)
            yield View(f"level-{number}.png", title, partial(self._level, number))

    def _title(self, words: str, levels: int | None = None) -> str:
        """With the bits that the first ``levels`` levels take, or all."""
        missing = sum(self.info.levels[levels:]) if levels else 0
        bits = 8 * (self.info.bytes - missing)
        return f"{words}, {bits / (self.info.width * self.info.height):.3f} bpp"

    def _decoded(self) -> bytes:
        return _png(self.picture)

    def _level(self, number: int) -> bytes:
        return _png(self.decoder.picture(self.coded, number))

    def _map(self, levels: Levels) -> bytes:
        grey = np.rint(levels * _WHITE).astype(np.uint8)
        width, height = self.picture.width, self.picture.height
        return _png(Picture.from_array(over_picture(grey, width, height)))


def _png(picture: Picture) -> bytes:
    return serialise_picture(picture, "png")
