"""The Bjontegaard delta rate: the difference in bits at equal quality.

After G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001, with the
interpolations that are usual today instead of a cubic: PCHIP and Akima.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["pchip", "akima"]

# Akima's interpolation takes slopes from five neighbours.
_MIN_POINTS = {"pchip": 2, "akima": 5}


@dataclass(frozen=True)
class BdRate:
    """Rate difference in per cent (negative: fewer bits than the anchor), None where it is not defined.

    ``low`` .. ``high``: the range of quality that both curves cover, over which it is an average.
    """

    pchip: float | None
    akima: float | None
    low: float
    high: float


def bd_rate(
    anchor_bpp: Sequence[float],
    anchor_quality: Sequence[float],
    bpp: Sequence[float],
    quality: Sequence[float],
) -> BdRate | None:
    """BD-rate of a curve of matching bpp and quality. None when both share no range of quality."""
    anchor = _monotone_points(anchor_bpp, anchor_quality)
    test = _monotone_points(bpp, quality)
    if min(len(anchor), len(test)) < _MIN_POINTS["pchip"]:
        return None
    low, high = max(anchor[0][1], test[0][1]), min(anchor[-1][1], test[-1][1])
    if not low < high:
        return None
    return BdRate(_delta_rate(anchor, test, "pchip"), _delta_rate(anchor, test, "akima"), low, high)


def _monotone_points(bpp: Sequence[float], quality: Sequence[float]) -> list[tuple[float, float]]:
    """Points of finite quality, in order of rate, without those that pay more for no better quality.

    Rate must be a function of quality; some codecs spend more on a lower setting here and there.
    """
    points: list[tuple[float, float]] = []
    for rate, level in sorted(zip(bpp, quality, strict=True)):
        if math.isfinite(level) and rate > 0 and (not points or level > points[-1][1]):
            points.append((rate, level))
    return points


def _delta_rate(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]], method: Interpolation
) -> float | None:
    if min(len(anchor), len(test)) < _MIN_POINTS[method]:
        return None
    import bjontegaard

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        delta = bjontegaard.bd_rate(
            *zip(*anchor, strict=True),
            *zip(*test, strict=True),
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    return float(delta) if math.isfinite(delta) else None
