"""Forecasts the size of a file at another rate from the symbols at one.

The rate multiplies the latents, and with them the scales of their symbols: all symbols move by the same
distance along the grid of tables. The entropy of the tables that they move to is the size to expect.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.tables import SCALE_STEP_LOG2
from vrcodec.models.base import Latents, VariableRateModel
from vrcodec.rate import RATE_CODE_MAX

if TYPE_CHECKING:
    from vrcodec.bitstream.latent_stream import TableUsage

# Spacing of the rate codes of the first guess, which is not more precise than that.
_GUESS_SPACING = 1024
# How steeply the size of photographs follows the rate: bits go with exp(LOG_SIZE_SLOPE r).
LOG_SIZE_SLOPE = 3.1
# Sizes change by less than forecast: of coarser latents less is known, so their predictions are worse, too.
_TYPICAL_CORRECTION = 0.93


def total_table_usage(streams: Sequence[Stream]) -> TableUsage:
    """How many symbols each table coded, over streams that were just encoded."""
    return np.sum(
        [stream.table_usage for stream in streams if stream.table_usage is not None], axis=0
    )


@dataclass(frozen=True)
class _CodedFile:
    bits: float
    usage: TableUsage


class SizeForecast:
    """Forecasts for one picture and one model, corrected by every file that is added.

    ``qmap``: the shape of a quality map. Its places count by the bits that they typically take.
    """

    def __init__(self, model: VariableRateModel, qmap: QualityMap | None = None) -> None:
        self._model = model
        self._qmap = qmap
        tables = model.scale_tables()
        self._entropies = None if tables is None else tables.entropies()
        self._files: dict[int, _CodedFile] = {}
        self._correction = _TYPICAL_CORRECTION

    def first_code(self, latents: Latents, bits: float) -> int | None:
        """The rate code whose file may have ``bits``, before any is added; None where the model cannot tell."""
        if self._estimate_bits(latents, 0) is None:
            return None
        codes = range(0, RATE_CODE_MAX + 1, _GUESS_SPACING)
        guess = bisect_left(codes, bits, key=lambda code: self._estimate_bits(latents, code) or 0.0)
        return min(guess * _GUESS_SPACING, RATE_CODE_MAX)

    def code_for_uniform(self, uniform_code: int) -> int:
        """The rate code with the map whose file may be as large as with ``uniform_code`` everywhere."""
        return bisect_left(range(RATE_CODE_MAX), float(uniform_code), key=self._uniform_code)

    def _uniform_code(self, code: int) -> float:
        """The rate code that, everywhere, takes about as many bits as ``code`` does with the map."""
        if self._qmap is None:
            return code
        typical_bits = np.exp(LOG_SIZE_SLOPE * self._qmap.levels(code)).mean()
        return float(np.log(typical_bits)) / LOG_SIZE_SLOPE * RATE_CODE_MAX

    def _estimate_bits(self, latents: Latents, code: int) -> float | None:
        return self._model.estimate_bits(latents, self._model.rate_parameters(code))

    def add_file(self, code: int, bits: float, usage: TableUsage) -> None:
        """Add a file: its rate code, bits, and how often its symbols used each table."""
        if self._entropies is None:
            return
        # Scales are clamped to that of the first table: most symbols there stay there.
        new = _CodedFile(bits, np.where(np.arange(len(usage)), usage, 0))
        if self._files:
            other = min(self._files, key=lambda known: abs(known - code))
            expected = self._bits_change(other, code)
            if expected:
                ratio = (bits - self._files[other].bits) / expected
                self._correction = min(max(ratio, 0.5), 2.0)
        self._files[code] = new

    def code_for_bits(self, known_code: int, bits: float) -> int | None:
        """The rate code whose file should have ``bits``, by the file at ``known_code``; None without that."""
        if known_code not in self._files:
            return None
        change = (bits - self._files[known_code].bits) / self._correction
        return bisect_left(
            range(RATE_CODE_MAX), change, key=lambda code: self._bits_change(known_code, code)
        )

    def _bits_change(self, known_code: int, code: int) -> float:
        """How many more bits the symbols of a known file would take with the scales of ``code``."""
        assert self._entropies is not None
        usage = self._files[known_code].usage
        tables = np.arange(len(usage))
        moved = tables + (self._log2_gain(code) - self._log2_gain(known_code)) / SCALE_STEP_LOG2
        return float(usage @ (np.interp(moved, tables, self._entropies) - self._entropies))

    def _log2_gain(self, code: int) -> float:
        uniform = min(round(self._uniform_code(code)), RATE_CODE_MAX)
        return self._model.mean_log2_gain(self._model.rate_parameters(uniform))
