"""The quality map in a file: 8 bits for each cell of 16 x 16 pixels, or of 32 x 32. Its mean level is the
header's rate.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vrcodec.errors import CorruptError
from vrcodec.rate import RATE_CODE_MAX

# Pixels along the side of a cell: of a map, and of one that has no finer detail.
MAP_STRIDE = 16
COARSE_STRIDE = 32
_STEPS = 255
# Offsets are in 256ths of a step; level 1 in that unit.
_OFFSETS_PER_STEP = 256
_LEVEL_ONE = _STEPS * _OFFSETS_PER_STEP
# `wbits` of raw deflate, without a checksum: the chunk has one.
_RAW_DEFLATE = -15

Cells = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class QualityMap:
    """``cells`` (rows, columns), uint8: 255 steps from level 0 to 1, one for each square of pixels.

    ``stride``: the side of such a square, `MAP_STRIDE` or `COARSE_STRIDE`.
    """

    cells: Cells
    stride: int = MAP_STRIDE

    @staticmethod
    def grid_shape(width: int, height: int, stride: int = MAP_STRIDE) -> tuple[int, int]:
        """Rows and columns of cells for a picture of ``width`` x ``height`` pixels."""
        return -(-height // stride), -(-width // stride)

    @property
    def uniform(self) -> bool:
        """Whether all cells are equal: then the rate alone says everything."""
        return bool((self.cells == self.cells.flat[0]).all())

    @property
    def mean_level(self) -> float:
        """The mean level of the cells, before any offset."""
        return int(self.cells.sum(dtype=np.int64)) / (_STEPS * self.cells.size)

    def levels(self, rate_code: int) -> npt.NDArray[np.float64]:
        """Levels (rows, columns): the cells plus one offset, clipped to 0 .. 1, so that their mean is the rate.

        In integers, so that encoder and decoder agree: the highest offset, in 256ths of a step, with which
        the mean does not exceed the rate.
        """
        counts = np.bincount(self.cells.ravel(), minlength=_STEPS + 1)
        values = np.arange(_STEPS + 1) * _OFFSETS_PER_STEP
        limit = rate_code * _LEVEL_ONE * self.cells.size

        def too_high(offset: int) -> bool:
            total = int((values + offset).clip(0, _LEVEL_ONE) @ counts)
            return total * RATE_CODE_MAX > limit

        offsets = range(-_LEVEL_ONE, _LEVEL_ONE + 1)
        offset = offsets[bisect_left(offsets, True, key=too_high) - 1]
        shifted = (self.cells.astype(np.int64) * _OFFSETS_PER_STEP + offset).clip(0, _LEVEL_ONE)
        levels: npt.NDArray[np.float64] = shifted / _LEVEL_ONE
        return levels


def build_map(qmap: QualityMap) -> bytes:
    """Payload of the chunk of a map, `CHUNK_QMAP` or `CHUNK_FINE_QMAP` by its stride.

    Differences from a prediction by the left and upper neighbours, deflated. Small cells are divided by what
    all of them are multiples of, which goes before them.
    """
    if qmap.stride == COARSE_STRIDE:
        return _deflate(qmap.cells)
    divisor = max(1, int(np.gcd.reduce(qmap.cells, axis=None)))
    return bytes([divisor]) + _deflate(qmap.cells // np.uint8(divisor))


def _deflate(cells: Cells) -> bytes:
    values = cells.astype(np.int16)
    residuals = (values - _predictions(values)).astype(np.uint8).tobytes()
    candidates = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9, strategy)
        candidates.append(packer.compress(residuals) + packer.flush())
    return min(candidates, key=len)


def parse_map(payload: bytes, width: int, height: int, stride: int = MAP_STRIDE) -> QualityMap:
    """Inverse of `build_map` for a picture of ``width`` x ``height``. Raises CorruptError."""
    shape = QualityMap.grid_shape(width, height, stride)
    if stride == COARSE_STRIDE:
        return QualityMap(_inflate(payload, shape), stride)
    divisor, cells = int.from_bytes(payload[:1], "little"), _inflate(payload[1:], shape)
    if not divisor or int(cells.max()) * divisor > _STEPS:
        raise CorruptError("damaged: a level of the quality map is above 1")
    return QualityMap(cells * np.uint8(divisor), stride)


def _inflate(content: bytes, shape: tuple[int, int]) -> Cells:
    unpacker, count = zlib.decompressobj(_RAW_DEFLATE), shape[0] * shape[1]
    try:
        residuals = unpacker.decompress(content, count + 1)
    except zlib.error as error:
        raise CorruptError("damaged: the quality map cannot be unpacked") from error
    if len(residuals) != count or not unpacker.eof or unpacker.unused_data:
        raise CorruptError("damaged: the quality map is not of the picture's size")
    return _undo_prediction(np.frombuffer(residuals, np.uint8).reshape(shape))


def _predictions(values: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Left plus upper minus upper left neighbour; beyond the border, 0."""
    padded = np.pad(values, ((1, 0), (1, 0)))
    predictions: npt.NDArray[np.int16] = padded[1:, :-1] + padded[:-1, 1:] - padded[:-1, :-1]
    return predictions


def _undo_prediction(differences: Cells) -> Cells:
    """Sums over rows and columns, modulo 256, undo the prediction."""
    return differences.cumsum(axis=0, dtype=np.uint8).cumsum(axis=1, dtype=np.uint8)  # type: ignore[no-any-return]
