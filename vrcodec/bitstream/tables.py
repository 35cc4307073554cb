"""Integer probability tables for the entropy coder, and the grid of Gaussian scales.

A table is a row of positive integer frequencies over the symbols -m .. m, then one escape, summing to
``TOTAL``. The tables are made once, when weights are exported, and stored in the weights file: nothing
at coding time calls erf or exp to rebuild one, so no library's last bit can change them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

PRECISION_BITS = 24
TOTAL = 1 << PRECISION_BITS

SCALE_COUNT = 64
SCALE_MIN_LOG2 = -3.0
SCALE_STEP_LOG2 = 3 / 16
SCALE_MAX_LOG2 = SCALE_MIN_LOG2 + (SCALE_COUNT - 1) * SCALE_STEP_LOG2

# Probability reserved for values outside a table. Latents have heavier tails than the model says; at
# 2^-15 the escape costs 15 bits plus the value, and what it takes from the other symbols costs next to nothing.
ESCAPE_PROBABILITY = 2.0**-15

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TableSet:
    """Frequency tables of one stream of symbols.

    ``frequencies``: all tables one after another (int64). ``sizes``: entries of each table, escape
    included; always even, 2m + 2.
    """

    frequencies: IntArray
    sizes: IntArray

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def _starts(self) -> IntArray:
        return np.concatenate(([0], np.cumsum(self.sizes)))

    def table(self, index: int) -> IntArray:
        """Frequencies of table ``index``: symbols -m .. m, then the escape."""
        return self.frequencies[self._starts[index] : self._starts[index + 1]]

    def entropies(self) -> npt.NDArray[np.float64]:
        """Bits that a symbol of each table costs on average."""
        p = self.frequencies / TOTAL
        return np.asarray(np.add.reduceat(-p * np.log2(p), self._starts[:-1]))

    def check(self) -> None:
        """Raise ValueError unless every table is valid for the coder."""
        if self.sizes.ndim != 1 or self.frequencies.ndim != 1 or not len(self.sizes):
            raise ValueError("tables must be two non-empty vectors")
        if (self.sizes < 2).any() or (self.sizes % 2).any():
            raise ValueError("table sizes must be even and at least 2")
        if int(self.sizes.sum()) != len(self.frequencies):
            raise ValueError("table sizes do not add up to the number of frequencies")
        if (self.frequencies < 1).any():
            raise ValueError("a frequency below 1 cannot be coded")
        sums = np.add.reduceat(self.frequencies, self._starts[:-1])
        if (sums != TOTAL).any():
            raise ValueError(f"frequencies must sum to {TOTAL}")


def quantise_pmf(pmf: npt.NDArray[np.float64], escape: float) -> IntArray:
    """Turn probabilities of -m .. m and of an escape into frequencies that sum to ``TOTAL``.

    Every entry gets at least 1; what rounding leaves over goes to the most probable symbol.
    """
    weights = np.concatenate((pmf, [escape]))
    weights = weights / weights.sum()
    frequencies = np.maximum(1, np.rint(weights * TOTAL)).astype(np.int64)
    frequencies[int(np.argmax(frequencies))] += TOTAL - int(frequencies.sum())
    return frequencies


def trim_pmf(pmf: npt.NDArray[np.float64]) -> IntArray:
    """The smallest table for ``pmf`` over -r .. r that leaves the escape at most its usual probability."""
    middle = len(pmf) // 2
    pairs = pmf[middle + 1 :] + pmf[:middle][::-1]
    # What lies outside -m .. m, for m = 0 .. r.
    tail = np.concatenate((np.cumsum(pairs[::-1])[::-1], [0.0]))
    half = max(1, int(np.argmax(tail <= ESCAPE_PROBABILITY)))
    inside = pmf[middle - half : middle + half + 1]
    return quantise_pmf(inside, max(float(tail[half]), ESCAPE_PROBABILITY))


def stack_tables(tables: Sequence[IntArray]) -> TableSet:
    """Collect single tables into a set."""
    sizes = np.array([len(table) for table in tables], dtype=np.int64)
    return TableSet(np.concatenate(tables), sizes)


def gaussian_tables() -> TableSet:
    """One table for each scale 2^(-3 + 3k/16), k = 0 .. 63, of a rounded zero-mean Gaussian."""
    return stack_tables([_gaussian_table(table_scale(index)) for index in range(SCALE_COUNT)])


def table_scale(index: float) -> float:
    """Standard deviation that table ``index`` stands for."""
    return float(2.0 ** (SCALE_MIN_LOG2 + index * SCALE_STEP_LOG2))


def gaussian_pmf(scale: float, reach: int) -> npt.NDArray[np.float64]:
    """Probabilities of the rounded zero-mean Gaussian over -reach .. reach."""
    edges = [0.5 * math.erfc(-(n - 0.5) / (scale * math.sqrt(2))) for n in range(-reach, reach + 2)]
    pmf = np.diff(np.array(edges))
    # erfc loses the far right side to 1 - tiny; the left side mirrors it exactly.
    pmf[reach + 1 :] = pmf[:reach][::-1]
    return pmf


def _gaussian_table(scale: float) -> IntArray:
    pmf = gaussian_pmf(scale, max(1, math.ceil(4.2 * scale)))
    return quantise_pmf(pmf, max(1.0 - pmf.sum(), ESCAPE_PROBABILITY))
