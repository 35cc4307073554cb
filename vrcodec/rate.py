"""The rate r in [0, 1] and its 16-bit code in the file; the bin size (quantisation step) and its code."""

from __future__ import annotations

import math

from vrcodec.errors import UsageError

RATE_CODE_MAX = 65535
DEFAULT_RATE = 0.5
# Levels of a region of interest, and around it, where none are given.
REGION_LEVEL, BACKGROUND_LEVEL = 0.8, 0.3
# Pixels over which a region goes over into what is around it.
MAX_FEATHER = 1024

# The code of a bin size is its logarithm in steps of 1/2048 octave, within six octaves of 1.
BIN_CODE_OCTAVE = 2048
BIN_CODE_MAX = 6 * BIN_CODE_OCTAVE


def rate_from_code(code: int) -> float:
    """The rate r that encoder and decoder derive from the 16-bit code in the file."""
    return code / RATE_CODE_MAX


def code_from_rate(rate: float) -> int:
    """Nearest 16-bit code of r in [0, 1]. Raises UsageError outside."""
    if not 0.0 <= rate <= 1.0:
        raise UsageError(f"a rate must lie between 0 and 1, and {rate} does not")
    return round(rate * RATE_CODE_MAX)


def clip_rate_code(position: float, low: int = 0, high: int = RATE_CODE_MAX) -> int:
    """The rate code nearest to ``position`` among ``low`` .. ``high``."""
    return round(min(max(position, low), high))


def bin_size_from_code(code: int) -> float:
    """The quantisation step that encoder and decoder derive from its code in the file."""
    return float(2 ** (code / BIN_CODE_OCTAVE))


def code_from_bin_size(size: float) -> int:
    """Nearest code of a quantisation step. Raises UsageError outside 1/64 .. 64."""
    if not bin_size_from_code(-BIN_CODE_MAX) <= size <= bin_size_from_code(BIN_CODE_MAX):
        raise UsageError(f"a bin size must lie between 1/64 and 64, and {size:g} does not")
    return round(math.log2(size) * BIN_CODE_OCTAVE)
