"""A prior without networks: integers choose the table of every symbol.

A factorized prior has a table for each channel. Here it also depends on how busy the symbols are that a decoder
knows already: those of the group of channels before, at the same place and around it; of the first group
those of the other colour of a checkerboard, which also predict its values. All of that is arithmetic of
integers, so that no two devices can disagree. It saves a tenth of the bits (docs/TRAINING.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.rans import SYMBOL_LIMIT, Symbols
from vrcodec.bitstream.tables import SCALE_COUNT, gaussian_tables
from vrcodec.models.coding.entropy import TableBuffers, scale_index
from vrcodec.models.coding.mixture import LogisticMixture

# Levels of the rate, and classes of activity, that have tables of their own.
LEVELS, CLASSES = 16, 12
# Magnitudes above this are as busy as it gets.
_BUSY = 8
# Of 1/1024 for each of four neighbours.
WEIGHT_BITS = 10
# Leaves room for predictions within the range of the coder.
LATENT_LIMIT = SYMBOL_LIMIT // 8

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pass:
    """Symbols that are coded together: ``channels`` at the places of ``where`` (h, w).

    ``activity`` and ``classes``: of each place, (n,). ``tables`` and ``prediction``: of each symbol, (C, n).
    """

    channels: slice
    where: Mask
    activity: Symbols
    classes: npt.NDArray[np.int64]
    tables: Indices
    prediction: Symbols


class ActivityPrior(TableBuffers):
    """The prior of one width. ``density``: that of training, which knows channels alone.

    ``choice`` (LEVELS, CLASSES, M): number of a table. ``bounds`` (LEVELS, passes, CLASSES - 1): activity from
    which on a class is the next. ``weights`` (C,): what neighbours count in predictions, for the first
    group.
    """

    choice: Tensor
    bounds: Tensor
    weights: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.density = LogisticMixture(channels)
        ends = [0, *(-(-channels * share // 16) for share in (1, 3, 7)), channels]
        self.groups = [slice(*pair) for pair in pairwise(ends)]
        passes = len(self.groups) + 1
        shapes = {
            "choice": (torch.uint8, (LEVELS, CLASSES, channels)),
            "bounds": (torch.int32, (LEVELS, passes, CLASSES - 1)),
            "weights": (torch.int16, (ends[1],)),
        }
        for name, (dtype, shape) in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    @torch.no_grad()
    def freeze(self, gains: Tensor) -> None:
        """Tables by the density alone, for ``gains`` (LEVELS, M): Gaussians of its deviations."""
        deviations = self.density.deviations().double() * gains
        numbers = round_to_table(scale_index(deviations.log2()).cpu().numpy(), SCALE_COUNT)
        self.choice.copy_(torch.from_numpy(numbers)[:, None].expand_as(self.choice))
        self.bounds.zero_()
        self.weights.zero_()
        self.freeze_tables(gaussian_tables())

    def passes(self, level: int, symbols: Symbols) -> Iterator[Pass]:
        """What is coded in turn, for ``symbols`` (M, h, w) of a block at number ``level``.

        A decoder fills in the symbols of a pass before it asks for the next.
        """
        choice, bounds = self.choice[level].cpu().numpy(), self.bounds[level].cpu().numpy()
        for number, (channels, where) in enumerate(self._order(symbols.shape[1:])):
            activity, prediction = self._seen(number, symbols)
            here = activity[where]
            classes = np.searchsorted(bounds[number], here, side="right")
            tables = np.ascontiguousarray(choice[classes, channels].T)
            own = np.broadcast_to(prediction, (len(tables), *where.shape))[:, where]
            yield Pass(channels, where, here, classes, tables, own)

    def _order(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, Mask]]:
        """Channels and places of every pass."""
        rows, columns = np.indices(shape, sparse=True)
        black = (rows + columns) % 2 == 0
        yield self.groups[0], black
        yield self.groups[0], ~black
        for group in self.groups[1:]:
            yield group, np.ones(shape, bool)

    def _seen(self, number: int, symbols: Symbols) -> tuple[Symbols, Symbols | np.int32]:
        """How busy places (h, w) are at a pass, and what to expect there."""
        if number == 0:
            return np.zeros(symbols.shape[1:], np.int32), np.int32(0)
        if number == 1:
            first = symbols[self.groups[0]]
            weighted = self.weights.cpu().numpy().astype(np.int64)[:, None, None] * _beside(first)
            half = 1 << (WEIGHT_BITS - 1)
            return 4 * _beside(_busy(first)), ((weighted + half) >> WEIGHT_BITS).astype(np.int32)
        before = _busy(symbols[self.groups[number - 2]])
        activity = 8 * before + _around(before)
        if number > 2:
            activity += 2 * _busy(symbols[self.groups[number - 3]])
        return activity, np.int32(0)


def _busy(symbols: Symbols) -> Symbols:
    """Sum of magnitudes over channels, (h, w)."""
    return np.minimum(np.abs(symbols), _BUSY).sum(axis=0, dtype=np.int32)


def _beside(symbols: Symbols) -> Symbols:
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


def _around(symbols: Symbols) -> Symbols:
    """Sum of the eight neighbours of (h, w)."""
    padded = np.pad(symbols, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: Symbols = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - symbols
    return total
