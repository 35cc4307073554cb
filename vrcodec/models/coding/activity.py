"""A context-adaptive prior without networks: integer arithmetic chooses the table of every symbol.

A factorized prior has a table for each channel. Here it also depends on activity, the magnitudes of symbols
that a decoder knows already: those of the group of channels before, at the same position and around it; for the
first group those of the other colour of a checkerboard, which also predict its values. Integers are the same
on every device. It saves a tenth of the bits (docs/TRAINING.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.rans import SYMBOL_LIMIT, Symbols
from vrcodec.bitstream.tables import SCALE_COUNT, gaussian_tables
from vrcodec.kernels import kernels_of
from vrcodec.models.coding.entropy import TableBuffers, scale_index
from vrcodec.models.coding.mixture import LogisticMixture
from vrcodec.models.networks.module import buffer

# Numbers of rate levels and of activity classes, each pair with its own tables.
RATE_LEVELS, ACTIVITY_CLASSES = 16, 12
# Magnitudes are clipped to this before they are summed to an activity.
_MAX_MAGNITUDE = 8
# Prediction weights are integers in units of 1/1024, one for all four neighbours.
WEIGHT_BITS = 10
# Leaves room for predictions within the range of the coder.
LATENT_LIMIT = SYMBOL_LIMIT // 8

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CodingPass:
    """Symbols that are coded together: ``channels`` at the n positions of ``mask`` (h, w).

    ``activity`` and ``classes``: of each position, (n,). ``tables`` and ``prediction``: of each symbol, (C, n).
    """

    channels: slice
    mask: Mask
    activity: Symbols
    classes: npt.NDArray[np.int64]
    tables: Indices
    prediction: Symbols


class ActivityPrior(TableBuffers):
    """The prior of one width. ``density``: the factorized density of training.

    ``choice`` (levels, classes, M): table numbers. ``bounds`` (levels, passes, classes - 1): the activity at
    which each class but the first begins. ``weights`` (C,): of neighbours in predictions, for the first group.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.density = LogisticMixture(channels)
        ends = [0, *(-(-channels * share // 16) for share in (1, 3, 7)), channels]
        self.groups = [slice(*pair) for pair in pairwise(ends)]
        passes = len(self.groups) + 1
        self.choice = buffer(np.zeros((RATE_LEVELS, ACTIVITY_CLASSES, channels), np.uint8))
        self.bounds = buffer(np.zeros((RATE_LEVELS, passes, ACTIVITY_CLASSES - 1), np.int32))
        self.weights = buffer(np.zeros(ends[1], np.int16))

    def freeze(self, gains: npt.NDArray[np.float64]) -> None:
        """Choose tables by channel alone, for ``gains`` (RATE_LEVELS, M): Gaussians as wide as the density."""
        kernels = kernels_of(self.choice)
        deviations = kernels.to_numpy(self.density.standard_deviations()) * gains
        numbers = round_to_table(scale_index(np.log2(deviations)), SCALE_COUNT)
        self.choice[:] = kernels.array(numbers)[:, None]
        self.bounds[:] = 0
        self.weights[:] = 0
        self.freeze_tables(gaussian_tables())

    def passes(self, level: int, symbols: Symbols) -> Iterator[CodingPass]:
        """The passes over ``symbols`` (M, h, w) of a block, in coding order, at rate level number ``level``.

        A decoder fills in the symbols of a pass before it asks for the next.
        """
        to_numpy = kernels_of(self.choice).to_numpy
        choice, bounds = to_numpy(self.choice[level]), to_numpy(self.bounds[level])
        for number, (channels, mask) in enumerate(self._order(symbols.shape[1:])):
            activity, prediction = self._context(number, symbols)
            activity = activity[mask]
            classes = np.searchsorted(bounds[number], activity, side="right")
            tables = np.ascontiguousarray(choice[classes, channels].T)
            predictions = np.broadcast_to(prediction, (len(tables), *mask.shape))[:, mask]
            yield CodingPass(channels, mask, activity, classes, tables, predictions)

    def _order(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, Mask]]:
        """Channels and positions of every pass."""
        rows, columns = np.indices(shape, sparse=True)
        black = (rows + columns) % 2 == 0
        yield self.groups[0], black
        yield self.groups[0], ~black
        for group in self.groups[1:]:
            yield group, np.ones(shape, bool)

    def _context(self, number: int, symbols: Symbols) -> tuple[Symbols, Symbols | np.int32]:
        """Activity (h, w) at a pass, and predictions of its symbols, (C, h, w) or zero."""
        if number == 0:
            return np.zeros(symbols.shape[1:], np.int32), np.int32(0)
        if number == 1:
            first = symbols[self.groups[0]]
            weights = kernels_of(self.weights).to_numpy(self.weights)
            weights = weights.astype(np.int64)[:, None, None]
            half = 1 << (WEIGHT_BITS - 1)
            prediction = (weights * _sum_4_neighbours(first) + half) >> WEIGHT_BITS
            return 4 * _sum_4_neighbours(_total_magnitude(first)), prediction.astype(np.int32)
        previous = _total_magnitude(symbols[self.groups[number - 2]])
        activity = 8 * previous + _sum_8_neighbours(previous)
        if number > 2:
            activity += 2 * _total_magnitude(symbols[self.groups[number - 3]])
        return activity, np.int32(0)


def _total_magnitude(symbols: Symbols) -> Symbols:
    """Sum of clipped magnitudes over channels, (h, w)."""
    return np.minimum(np.abs(symbols), _MAX_MAGNITUDE).sum(axis=0, dtype=np.int32)


def _sum_4_neighbours(symbols: Symbols) -> Symbols:
    """Sum of the four neighbours above, below, left and right; zeros outside."""
    padded = np.pad(symbols, [(0, 0)] * (symbols.ndim - 2) + [(1, 1)] * 2)
    middle = slice(1, -1)
    total: Symbols = (
        padded[..., :-2, middle]
        + padded[..., 2:, middle]
        + padded[..., middle, :-2]
        + padded[..., middle, 2:]
    )
    return total


def _sum_8_neighbours(symbols: Symbols) -> Symbols:
    """Sum of the eight neighbours of (h, w)."""
    padded = np.pad(symbols, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: Symbols = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - symbols
    return total
