"""Bits at equal PSNR along a curve: an average may hide an end where a codec is worse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vrcodec.bench.curves import Curve
from vrcodec.bench.summary import Table

# In dB: what the files of all our families reach.
QUALITIES = (27, 28, 30, 32, 34, 36, 38, 39)


def along_table(own: Sequence[Curve], rivals: Sequence[Curve]) -> Table:
    """For each pair the difference in bits, in per cent of the rival's, at each of `QUALITIES`."""
    head = ["codec", "against", *(f"{quality} dB" for quality in QUALITIES)]
    rows = [
        [curve.title, rival.title, *(_words(difference(curve, rival, q)) for q in QUALITIES)]
        for curve in own
        for rival in rivals
    ]
    return head, rows


def difference(curve: Curve, rival: Curve, quality: float) -> float:
    """Per cent of bits beyond those of ``rival`` at ``quality`` dB; NaN where one does not get there."""
    return 100 * math.expm1(_log_bits(curve, quality) - _log_bits(rival, quality))


def _log_bits(curve: Curve, quality: float) -> float:
    """By straight lines between the points, over PSNR."""
    points = sorted(zip(curve.columns["psnr"], np.log(curve.columns["bpp"]), strict=True))
    over, bits = zip(*points, strict=True)
    return float(np.interp(quality, over, bits, left=math.nan, right=math.nan))


def _words(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1f} %"
