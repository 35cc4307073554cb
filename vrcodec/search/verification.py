"""Verification of a new file: decode it, and compare with the picture that was encoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vrcodec.codec import CodedPicture, Decoder
from vrcodec.errors import CorruptError, FormatError
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent

# Side of the cells by whose means a model's picture is compared; no rate changes these much.
_CELL = 16
# Largest difference of the means of one cell, and of all cells on average: twice the largest that were measured
# at any rate, with any model, for photographs, noise, checkerboards and cells of random colours, 49 and 14.5.
# Beyond, a model has broken down: on pictures unlike its training data that `picture.softening` does not
# recognise, it can leave whole regions black or as noise. Its symbols are right then; only this check tells.
_MAX_CELL_DIFFERENCE, _MAX_MEAN_DIFFERENCE = 96, 32

_NOT_WRITTEN = "so nothing is written"
_FAULT = f"{_NOT_WRITTEN}; this is a fault of the program or of the memory"


def verify_encoding(data: bytes, picture: Picture, decoder: Decoder) -> None:
    """Raise CorruptError unless ``data`` decodes to ``picture``, as far as that can be told.

    Size, mode, alpha and metadata must be equal, and samples that are stored without loss. A model's symbols
    are verified by their checksums; its pixels are compared coarsely, but not with a chosen bin size, at which
    they may be anything. Raises LimitError or DeviceError when the file cannot be decoded here.
    """
    try:
        coded = decoder.read(data)
        decoded = decoder.reconstruct(coded)
    except (CorruptError, FormatError) as error:
        raise CorruptError(f"the file does not decode ({error}), {_FAULT}") from error
    mismatch = _find_mismatch(picture, decoded)
    if (
        not mismatch
        and coded.lossless_payloads
        and not np.array_equal(decoded.pixels, picture.pixels)
    ):
        mismatch = "pixels"
    if not mismatch and not _has_lossless_cells_of(picture, coded):
        mismatch = "cells without loss"
    if mismatch:
        raise CorruptError(f"the file decodes to another picture ({mismatch}), {_FAULT}")
    if _has_comparable_pixels(coded) and not _look_alike(decoded, fill_transparent(picture)):
        raise CorruptError(
            f"what the file decodes to does not look like the picture, {_NOT_WRITTEN}; where a model cannot "
            "do better, try another --model or --lossless always"
        )


def _has_lossless_cells_of(picture: Picture, coded: CodedPicture) -> bool:
    """Whether the cells that are stored without loss are those of ``picture``, which has them opaque."""
    overlay = coded.overlay()
    if overlay is None:
        return True
    pixels = picture.pixels.copy()
    overlay(pixels, 0, 0)
    return np.array_equal(pixels, picture.pixels)


def _find_mismatch(original: Picture, decoded: Picture) -> str | None:
    """The first of size, mode, alpha and metadata that is not equal."""
    if decoded.pixels.shape != original.pixels.shape:
        return "size"
    if decoded.mode != original.mode:
        return "mode"
    if not _same_alpha(decoded, original):
        return "alpha"
    if _metadata_bytes(decoded.metadata) != _metadata_bytes(original.metadata):
        return "metadata"
    return None


def _same_alpha(one: Picture, other: Picture) -> bool:
    if one.alpha is None or other.alpha is None:
        return one.alpha is other.alpha
    return np.array_equal(one.alpha, other.alpha)


def _metadata_bytes(metadata: Metadata) -> list[bytes]:
    """ICC profile, EXIF and XMP; an empty one counts as absent, because it is not written."""
    return [content or b"" for content in (metadata.icc, metadata.exif, metadata.xmp)]


def _has_comparable_pixels(coded: CodedPicture) -> bool:
    return not coded.lossless_payloads and coded.setting.bin_code is None


def _look_alike(one: Picture, other: Picture) -> bool:
    """Whether the means of their cells are about the same."""
    ours, theirs = one.colours(), other.colours()
    differences = np.abs(_cell_means(ours) - _cell_means(theirs))
    # A mean of few pixels, in a cell at the edge, says less.
    differences *= np.sqrt(_cell_counts(ours) / _CELL**2)
    return bool(
        differences.max() <= _MAX_CELL_DIFFERENCE and differences.mean() <= _MAX_MEAN_DIFFERENCE
    )


def _cell_means(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(rows, columns) or (rows, columns, 3) of samples (H, W) or (H, W, 3)."""
    height, width = samples.shape[:2]
    # Sums along rows stay small: no copy of the picture in wider numbers.
    rows = np.add.reduceat(samples, range(0, height, _CELL), axis=0, dtype=np.uint32)
    sums = np.add.reduceat(rows, range(0, width, _CELL), axis=1)
    means: npt.NDArray[np.float64] = sums / _cell_counts(samples)
    return means


def _cell_counts(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Pixels of each cell of samples (H, W) or (H, W, 3): (rows, columns) or (rows, columns, 1)."""
    height, width = samples.shape[:2]
    counts = np.outer(_cell_sides(height), _cell_sides(width))
    return counts.reshape(counts.shape + (1,) * (samples.ndim - 2))


def _cell_sides(length: int) -> npt.NDArray[np.int64]:
    return np.diff([*range(0, length, _CELL), length])
