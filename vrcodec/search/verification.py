"""Whether a file that was just made is the picture it was made of: decoded, and compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.codec import Coded, Decoder
from vrcodec.errors import CorruptError, FormatError
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import without_hidden

# Cells in which a model's picture is compared by its mean, which no rate changes much.
_CELL = 16
# How far apart the means of one cell, and those of all on average, may be. Twice as far as was found at any
# rate, with any model, for photographs, noise, checkerboards and cells of random colours: 49 and 14.5. Beyond
# that a model has broken down: on what it has not learnt from, and `picture.softening` does not know, it can
# leave whole regions black or as noise. Its symbols are right then, and only this comparison tells.
_ONE_CELL, _ALL_CELLS = 96, 32

_NOT_WRITTEN = "so nothing is written"
_FAULT = f"{_NOT_WRITTEN}; this is a fault of the program or of the memory"


def check_made(data: bytes, picture: Picture, decoder: Decoder) -> None:
    """Raise CorruptError unless ``data`` decodes to ``picture``, as far as can be told.

    Size, mode, alpha and metadata must be equal, and without a model the samples. That a model's symbols are
    right is told by their checksums; its pixels are compared coarsely, unless a bin size was chosen, with which
    they may be anything. Raises LimitError or DeviceError when it cannot be decoded here.
    """
    try:
        coded = decoder.read(data)
        decoded = decoder.picture(coded)
    except (CorruptError, FormatError) as error:
        raise CorruptError(f"the file does not decode ({error}), {_FAULT}") from error
    wrong = _different(picture, decoded)
    if not wrong and coded.lossless and not np.array_equal(decoded.pixels, picture.pixels):
        wrong = "pixels"
    if wrong:
        raise CorruptError(f"the file decodes to another picture ({wrong}), {_FAULT}")
    if _comparable(coded) and not _alike(decoded, without_hidden(picture)):
        raise CorruptError(
            f"what the file decodes to does not look like the picture, {_NOT_WRITTEN}; where a model cannot "
            "do better, try another --model or --lossless-fallback"
        )


def _different(made_of: Picture, decoded: Picture) -> str | None:
    """What must be equal, and is not."""
    if decoded.pixels.shape != made_of.pixels.shape:
        return "size"
    if decoded.mode != made_of.mode:
        return "mode"
    if not _same_alpha(decoded, made_of):
        return "alpha"
    if _contents(decoded.metadata) != _contents(made_of.metadata):
        return "metadata"
    return None


def _same_alpha(one: Picture, other: Picture) -> bool:
    if one.alpha is None or other.alpha is None:
        return one.alpha is other.alpha
    return np.array_equal(one.alpha, other.alpha)


def _contents(metadata: Metadata) -> list[bytes]:
    """What is empty counts as absent: it is not written."""
    return [content or b"" for content in (metadata.icc, metadata.exif, metadata.xmp)]


def _comparable(coded: Coded) -> bool:
    return not coded.lossless and coded.setting.bin_code is None


def _alike(one: Picture, other: Picture) -> bool:
    """Whether the means of cells are about the same."""
    apart = np.abs(_cell_means(one.colours()) - _cell_means(other.colours()))
    return bool(apart.max() <= _ONE_CELL and apart.mean() <= _ALL_CELLS)


def _cell_means(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(rows, columns) or (rows, columns, 3) of samples (H, W) or (H, W, 3)."""
    height, width = samples.shape[:2]
    # Sums along rows stay small: no copy of the picture in wider numbers.
    rows = np.add.reduceat(samples, range(0, height, _CELL), axis=0, dtype=np.uint32)
    sums = np.add.reduceat(rows, range(0, width, _CELL), axis=1)
    counts = np.outer(_cell_sides(height), _cell_sides(width))
    means: npt.NDArray[np.float64] = sums / counts.reshape(counts.shape + (1,) * (sums.ndim - 2))
    return means


def _cell_sides(length: int) -> npt.NDArray[np.int64]:
    return np.diff([*range(0, length, _CELL), length])
