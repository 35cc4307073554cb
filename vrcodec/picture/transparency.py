"""Preprocessing of pixels whose colours a model need not code, so they should cost it no bits.

These are fully transparent ones, and those that are stored without loss. They are filled from the visible
pixels around, by a pyramid (pull-push): each level has the mean of the visible pixels below, and what is empty
there comes from the level above. The result is smooth, continues the visible part at its edge, and depends on
visible pixels alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vrcodec.picture.graphics import stretch_cells
from vrcodec.picture.interpolation import Reals, upsample_bilinear
from vrcodec.picture.picture import Picture

# Rows of pixels that are in floating point at a time; even, so that no level splits a pair.
_STRIP = 256
# The grey of a picture without a visible pixel.
_NEUTRAL = 128


def fill_transparent(picture: Picture) -> Picture:
    """``picture`` with smooth colours where its alpha is 0. Filling again changes nothing."""
    if picture.alpha is None or picture.alpha.all():
        return picture
    if not picture.alpha.any():
        return replace(picture, pixels=np.full_like(picture.pixels, _NEUTRAL))
    return replace(picture, pixels=_fill(picture.pixels, picture.alpha))


def fill_lossless_cells(picture: Picture) -> npt.NDArray[np.uint8]:
    """The pixels of ``picture`` for a model: with smooth colours where they are stored without loss."""
    if picture.lossless_cells is None:
        return picture.pixels
    coded = ~stretch_cells(picture.lossless_cells, picture.height, picture.width)
    if not coded.any():
        return np.full_like(picture.pixels, _NEUTRAL)
    return _fill(picture.pixels, coded.view(np.uint8))


def _fill(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """``pixels`` with others where ``alpha`` is 0."""
    halves = [_downsample(*strip) for strip in _strips(pixels, alpha)]
    sums = np.concatenate([half[0] for half in halves])
    weights = np.concatenate([half[1] for half in halves])
    coarse = _fill_level(sums, weights)
    result = pixels.copy()
    for top in range(0, len(pixels), _STRIP):
        rows = slice(top, min(top + _STRIP, len(pixels)))
        hidden = alpha[rows] == 0
        if hidden.any():
            smooth = upsample_bilinear(coarse, 2, range(rows.start, rows.stop), pixels.shape[1])
            result[rows][hidden] = np.rint(smooth[hidden]).astype(np.uint8)
    return result


def _strips(
    pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]
) -> Iterator[tuple[Reals, Reals]]:
    """Strips of sums (h, W, 3) and weights (h, W, 1), both 0 where nothing is visible."""
    for top in range(0, len(pixels), _STRIP):
        rows = slice(top, top + _STRIP)
        weights = (alpha[rows, :, None] > 0).astype(np.float32)
        yield pixels[rows] * weights, weights


def _fill_level(sums: Reals, weights: Reals) -> Reals:
    """The means ``sums`` / ``weights`` (h, w, 3), filled from coarser levels where the weight is 0."""
    if weights.all():
        return sums / weights
    height, width = sums.shape[:2]
    coarse = _fill_level(*_downsample(sums, weights))
    means = upsample_bilinear(coarse, 2, range(height), width)
    visible = weights[:, :, 0] > 0
    means[visible] = sums[visible] / weights[visible]
    return means


def _downsample(sums: Reals, weights: Reals) -> tuple[Reals, Reals]:
    """Both at half the size: averaged over 2 x 2 pixels, which keeps weights at 1 or below."""
    return (
        _average_pairs(_average_pairs(sums, 0), 1),
        _average_pairs(_average_pairs(weights, 0), 1),
    )


def _average_pairs(values: Reals, axis: int) -> Reals:
    """The mean of every two along an axis; beyond the end there is nothing, which counts as 0."""
    odd = values.shape[axis] % 2
    padded = np.pad(values, [(0, odd if a == axis else 0) for a in range(values.ndim)])
    first, second = (
        padded[
            tuple(
                slice(start if a == axis else None, None, 2 if a == axis else None)
                for a in range(values.ndim)
            )
        ]
        for start in (0, 1)
    )
    averages: Reals = (first + second) * np.float32(0.5)
    return averages
