"""The quality map in a file: its shape, 8 bits for each 32 x 32 pixels. Its mean is the header's rate."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vrcodec.errors import CorruptError
from vrcodec.rate import RATE_CODE_MAX

MAP_STRIDE = 32
_STEPS = 255
_FINE = 256
# Raw deflate: the chunk has a checksum of its own.
_WINDOW = -15

Shape = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class QualityMap:
    """``shape`` (rows, columns), uint8: 255 steps from level 0 to 1, one for each 32 x 32 pixels."""

    shape: Shape

    @staticmethod
    def sides(width: int, height: int) -> tuple[int, int]:
        """Rows and columns for a picture."""
        return -(-height // MAP_STRIDE), -(-width // MAP_STRIDE)

    @property
    def uniform(self) -> bool:
        """Whether it is the same everywhere: then the rate says it all."""
        return bool((self.shape == self.shape.flat[0]).all())

    @property
    def level(self) -> float:
        """The mean level of the shape as it is."""
        return int(self.shape.sum(dtype=np.int64)) / (_STEPS * self.shape.size)

    def levels(self, rate_code: int) -> npt.NDArray[np.float64]:
        """The shape, moved as a whole and cut off at 0 and 1, so that its mean is the rate.

        In integers, so that both sides come to the same: the highest offset with which the mean does
        not exceed the rate, in 256ths of a step.
        """
        counts = np.bincount(self.shape.ravel(), minlength=_STEPS + 1)
        values = np.arange(_STEPS + 1) * _FINE
        limit = rate_code * _STEPS * _FINE * self.shape.size

        def too_high(offset: int) -> bool:
            total = int((values + offset).clip(0, _STEPS * _FINE) @ counts)
            return total * RATE_CODE_MAX > limit

        offsets = range(-_STEPS * _FINE, _STEPS * _FINE + 1)
        offset = offsets[bisect_left(offsets, True, key=too_high) - 1]
        moved = (self.shape.astype(np.int64) * _FINE + offset).clip(0, _STEPS * _FINE)
        levels: npt.NDArray[np.float64] = moved / (_STEPS * _FINE)
        return levels


def build_map(quality: QualityMap) -> bytes:
    """Payload of a map chunk: differences from a prediction by the left and upper neighbours, deflated."""
    values = quality.shape.astype(np.int16)
    residuals = (values - _predictions(values)).astype(np.uint8).tobytes()
    coded = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9, strategy)
        coded.append(packer.compress(residuals) + packer.flush())
    return min(coded, key=len)


def parse_map(payload: bytes, width: int, height: int) -> QualityMap:
    """Inverse of `build_map` for a picture of ``width`` x ``height``. Raises CorruptError."""
    rows, columns = QualityMap.sides(width, height)
    unpacker = zlib.decompressobj(_WINDOW)
    try:
        residuals = unpacker.decompress(payload, rows * columns + 1)
    except zlib.error as error:
        raise CorruptError("damaged: the quality map cannot be unpacked") from error
    if len(residuals) != rows * columns or not unpacker.eof or unpacker.unused_data:
        raise CorruptError("damaged: the quality map is not of the picture's size")
    differences = np.frombuffer(residuals, np.uint8).reshape(rows, columns)
    return QualityMap(_undo(differences))


def _predictions(values: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Left plus upper minus upper left; beyond the border, 0."""
    padded = np.pad(values, ((1, 0), (1, 0)))
    predictions: npt.NDArray[np.int16] = padded[1:, :-1] + padded[:-1, 1:] - padded[:-1, :-1]
    return predictions


def _undo(differences: Shape) -> Shape:
    """Sums over rows and columns, modulo 256, undo the prediction."""
    return differences.cumsum(axis=0, dtype=np.uint8).cumsum(axis=1, dtype=np.uint8)  # type: ignore[no-any-return]
