"""Rate differences at fixed PSNR: a BD-rate may hide an end of the curve where a codec is worse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vrcodec.bench.curves import Curve
from vrcodec.bench.summary import Table

# In dB: the range that all our families reach.
QUALITIES = (27, 28, 30, 32, 34, 36, 38, 39)


def difference_table(ours: Sequence[Curve], rivals: Sequence[Curve]) -> Table:
    """For each pair the difference in bits, in per cent of the rival's, at each of `QUALITIES`."""
    head = ["codec", "against", *(f"{quality} dB" for quality in QUALITIES)]
    rows = [
        [
            curve.title,
            rival.title,
            *(_format_percent(rate_difference(curve, rival, q)) for q in QUALITIES),
        ]
        for curve in ours
        for rival in rivals
    ]
    return head, rows


def rate_difference(curve: Curve, rival: Curve, quality: float) -> float:
    """Per cent of bits beyond those of ``rival`` at ``quality`` dB; NaN beyond the end of either curve."""
    return 100 * math.expm1(_log_bits(curve, quality) - _log_bits(rival, quality))


def _log_bits(curve: Curve, quality: float) -> float:
    """Linear interpolation over PSNR of the logarithm of bits."""
    points = sorted(zip(curve.columns["psnr"], np.log(curve.columns["bpp"]), strict=True))
    psnr, bits = zip(*points, strict=True)
    return float(np.interp(quality, psnr, bits, left=math.nan, right=math.nan))


def _format_percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1f} %"
