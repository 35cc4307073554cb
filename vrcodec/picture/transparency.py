"""What is coded where a picture is fully transparent: nobody sees it, so it should cost no bits.

Such pixels take their colour from the visible ones around, by a pyramid: each level has the mean of the
visible pixels below, and what is empty there comes from the level above. The result is smooth, goes on from
where the visible part ends, and depends on visible pixels alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vrcodec.picture.interpolation import Reals, between_cells
from vrcodec.picture.picture import Picture

# Rows of pixels that are in floating point at a time; even, so that no level splits a pair.
_STRIP = 256
# What a picture without a visible pixel becomes.
_NEUTRAL = 128


def without_hidden(picture: Picture) -> Picture:
    """``picture`` with smooth colours where its alpha is 0. Twice is as good as once."""
    if picture.alpha is None or picture.alpha.all():
        return picture
    if not picture.alpha.any():
        return replace(picture, pixels=np.full_like(picture.pixels, _NEUTRAL))
    return replace(picture, pixels=_filled(picture.pixels, picture.alpha))


def _filled(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    halves = [_halved(*part) for part in _strips(pixels, alpha)]
    sums = np.concatenate([part[0] for part in halves])
    weights = np.concatenate([part[1] for part in halves])
    coarse = _completed(sums, weights)
    result = pixels.copy()
    for top in range(0, len(pixels), _STRIP):
        rows = slice(top, min(top + _STRIP, len(pixels)))
        hidden = alpha[rows] == 0
        if hidden.any():
            smooth = between_cells(coarse, 2, range(rows.start, rows.stop), pixels.shape[1])
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


def _completed(sums: Reals, weights: Reals) -> Reals:
    """(h, w, 3) means ``sums`` / ``weights``, and where there is no weight what is around."""
    if weights.all():
        return sums / weights
    height, width = sums.shape[:2]
    means = between_cells(_completed(*_halved(sums, weights)), 2, range(height), width)
    there = weights[:, :, 0] > 0
    means[there] = sums[there] / weights[there]
    return means


def _halved(sums: Reals, weights: Reals) -> tuple[Reals, Reals]:
    """Both, of 2 x 2 pixels together, scaled so that weights stay below 1."""
    return _pairs(_pairs(sums, 0), 1), _pairs(_pairs(weights, 0), 1)


def _pairs(values: Reals, axis: int) -> Reals:
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
    halved: Reals = (first + second) * np.float32(0.5)
    return halved
