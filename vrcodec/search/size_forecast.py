"""What a file would weigh at another rate, going by the symbols at one.

The rate multiplies the latents, and with them the scales of their symbols: all symbols move by the same
distance along the grid of tables. The entropy of the tables they come to is the size to expect.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.tables import SCALE_STEP_LOG2
from vrcodec.models.base import Latents, VariableRateModel
from vrcodec.rate import RATE_CODE_MAX

if TYPE_CHECKING:
    from vrcodec.bitstream.payload import Usage

# Nearer than this the first guess is not right anyway.
_FIRST_STEP = 1024
# How steeply the size of photographs follows the rate: bits go with exp(SIZE_SLOPE r).
SIZE_SLOPE = 3.1
# How much less sizes really move: the coarser the latents, the less is known about them, too.
_TYPICAL_CORRECTION = 0.93


def total_usage(streams: Sequence[Stream]) -> Usage:
    """How many symbols each table coded, over streams that were just encoded."""
    return np.sum([stream.usage for stream in streams if stream.usage is not None], axis=0)


@dataclass(frozen=True)
class _Known:
    bits: float
    usage: Usage


class SizeForecast:
    """Forecasts for one picture and one model, better with every file that is known.

    ``qmap``: the shape of a quality map. What counts of it are the places that take the bits.
    """

    def __init__(self, model: VariableRateModel, qmap: QualityMap | None = None) -> None:
        self._model = model
        self._qmap = qmap
        tables = model.scale_tables()
        self._entropies = None if tables is None else tables.entropies()
        self._known: dict[int, _Known] = {}
        self._correction = _TYPICAL_CORRECTION

    def first_code(self, latents: Latents, bits: float) -> int | None:
        """The rate code whose file may have ``bits``, when none is known yet. None: no idea."""
        if self._rough_bits(latents, 0) is None:
            return None
        codes = range(0, RATE_CODE_MAX + 1, _FIRST_STEP)
        rough = bisect_left(codes, bits, key=lambda code: self._rough_bits(latents, code) or 0.0)
        return min(rough * _FIRST_STEP, RATE_CODE_MAX)

    def code_like(self, plain: int) -> int:
        """The code of a map whose file may be about as large as one with ``plain`` everywhere."""
        return bisect_left(range(RATE_CODE_MAX), float(plain), key=self._plain_code)

    def _plain_code(self, code: int) -> float:
        """The code which, everywhere, takes about as many bits as ``code`` does with the map."""
        if self._qmap is None:
            return code
        typical_bits = np.exp(SIZE_SLOPE * self._qmap.levels(code)).mean()
        return float(np.log(typical_bits)) / SIZE_SLOPE * RATE_CODE_MAX

    def _rough_bits(self, latents: Latents, code: int) -> float | None:
        return self._model.rough_bits(latents, self._model.rate_state(code))

    def learn(self, code: int, bits: float, usage: Usage) -> None:
        """The file at ``code`` has ``bits``, and its symbols used the tables so often."""
        if self._entropies is None:
            return
        # Below the first table scales are cut off: most symbols there will stay there.
        new = _Known(bits, np.where(np.arange(len(usage)), usage, 0))
        if self._known:
            other = min(self._known, key=lambda known: abs(known - code))
            expected = self._change(other, code)
            if expected:
                ratio = (bits - self._known[other].bits) / expected
                self._correction = min(max(ratio, 0.5), 2.0)
        self._known[code] = new

    def code_with(self, code: int, bits: float) -> int | None:
        """The rate code whose file should have ``bits``, going by the known one at ``code``, if that helps."""
        if code not in self._known:
            return None
        wanted = (bits - self._known[code].bits) / self._correction
        return bisect_left(range(RATE_CODE_MAX), wanted, key=lambda to: self._change(code, to))

    def _change(self, known: int, code: int) -> float:
        """How many bits more the symbols of a known file would take with the scales of ``code``."""
        assert self._entropies is not None
        usage = self._known[known].usage
        tables = np.arange(len(usage))
        moved = tables + (self._log2_gain(code) - self._log2_gain(known)) / SCALE_STEP_LOG2
        return float(usage @ (np.interp(moved, tables, self._entropies) - self._entropies))

    def _log2_gain(self, code: int) -> float:
        plain = min(round(self._plain_code(code)), RATE_CODE_MAX)
        return self._model.log2_gain(self._model.rate_state(plain))
