"""What a file is to be: targets of size and quality, and how close to them is close enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vrcodec.errors import UsageError
from vrcodec.metrics import as_decibels
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX, clipped_rate_code
from vrcodec.search.size_forecast import SIZE_SLOPE

Kind = Literal["size", "bpp", "psnr", "ssim"]

# How close to the target is close enough: a share of the bytes, or dB.
BYTES_TOLERANCE = 0.005
QUALITY_TOLERANCE = 0.02

# Where a search begins, from the mean over photographs: the value at rate 0, and its slope.
_TYPICAL_LOG_BPP = (math.log(0.09), SIZE_SLOPE)
_TYPICAL_PSNR = (26.2, 14.0)
_TYPICAL_SSIM = (9.4, 13.5)


@dataclass(frozen=True)
class Target:
    """``size``, ``bpp``: at most so many bytes, bits a pixel. ``psnr`` (dB), ``ssim``: at least as good."""

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or (self.kind != "psnr" and self.value <= 0):
            raise UsageError(f"{self.value:g} is no {self.kind} to aim at")
        if self.kind == "ssim" and self.value >= 1:
            raise UsageError("an MS-SSIM to aim at is below 1")


@dataclass(frozen=True)
class Goal:
    """Values in ``low`` .. ``high`` are close enough. ``ceiling``: meeting it means at most ``high``,
    otherwise at least ``low``. ``origin`` and ``slope``: what to expect at rate 0, and per unit of rate.
    """

    low: float
    high: float
    ceiling: bool
    origin: float
    slope: float

    @property
    def aim(self) -> float:
        """The middle of what is close enough."""
        return (self.low + self.high) / 2

    def met_by(self, value: float) -> bool:
        """Whether ``value`` is on the right side."""
        return value <= self.high if self.ceiling else value >= self.low

    @property
    def usual_code(self) -> int:
        """Where to expect it."""
        return clipped_rate_code((self.aim - self.origin) / self.slope * RATE_CODE_MAX)


def goal_of(target: Target, picture: Picture) -> Goal:
    """The goal that a search for ``target`` has, in what `Probe.value` gives."""
    if target.kind in ("size", "bpp"):
        pixels = picture.width * picture.height
        limit = target.value if target.kind == "size" else target.value * pixels / 8
        origin, slope = _TYPICAL_LOG_BPP
        high = math.log(limit)
        low = high + math.log1p(-BYTES_TOLERANCE)
        return Goal(low, high, True, origin + math.log(pixels / 8), slope)
    origin, slope = _TYPICAL_PSNR if target.kind == "psnr" else _TYPICAL_SSIM
    low = target.value if target.kind == "psnr" else as_decibels(target.value)
    return Goal(low, low + QUALITY_TOLERANCE, False, origin, slope)
