"""The axis that a search for a target moves along: the rates, and quantisation steps beyond theirs.

Of a family whose rate is one quantisation step (`qvrf`, imported networks) a file may have any other step. So
its sizes and qualities do not end where those of the rates do (QVRF, Tong et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.models.base import VariableRateModel
from vrcodec.rate import BIN_CODE_MAX, BIN_CODE_OCTAVE, RATE_CODE_MAX, clip_rate_code

# How far beyond the rates, in octaves of the step. At the coarse end files are a third of those of rate 0, and
# what a photograph shows can still be made out; at the fine end networks reproduce hardly more with finer ones.
_OCTAVES_BEYOND = 1.5


@dataclass(frozen=True)
class RateAxis:
    """Codes ``low`` .. ``high``: those of rates, and on either side steps, spaced as those of the rates are.

    ``base``: what else is set. ``coarsest``, ``finest``: bin codes of rates 0 and 1, the same without bins.
    """

    base: RateSetting
    low: int = 0
    high: int = RATE_CODE_MAX
    coarsest: int = 0
    finest: int = 0

    def setting(self, code: int) -> RateSetting:
        """The setting of a file at ``code``."""
        if is_rate(code):
            return replace(self.base, rate_code=code)
        position = code / RATE_CODE_MAX
        bin_code = self.coarsest + round(position * (self.finest - self.coarsest))
        return replace(self.base, rate_code=clip_rate_code(code), bin_code=bin_code)

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return self.low, self.high


def is_rate(code: int) -> bool:
    """Whether ``code`` of an axis is that of a rate."""
    return 0 <= code <= RATE_CODE_MAX


def derive_axis(model: VariableRateModel, base: RateSetting) -> RateAxis:
    """The axis of ``model``: only the rates where it has no steps to choose, or a quality map has."""
    coarsest, finest = model.bin_code_at(0), model.bin_code_at(RATE_CODE_MAX)
    if coarsest is None or finest is None or coarsest <= finest or base.qmap is not None:
        return RateAxis(base)
    reach = round(_OCTAVES_BEYOND * BIN_CODE_OCTAVE)
    codes_per_bin_code = RATE_CODE_MAX / (coarsest - finest)
    below = max(0, min(reach, BIN_CODE_MAX - coarsest))
    above = max(0, min(reach, BIN_CODE_MAX + finest))
    return RateAxis(
        base,
        -int(below * codes_per_bin_code),
        RATE_CODE_MAX + int(above * codes_per_bin_code),
        coarsest,
        finest,
    )
