"""Targets of size and quality, and the band of values around them that is close enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from vrcodec.errors import UsageError
from vrcodec.metrics import as_decibels
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX, clip_rate_code
from vrcodec.refinement.effort import Tune
from vrcodec.search.size_forecast import LOG_SIZE_SLOPE

TargetKind = Literal["size", "bpp", "psnr", "ssim", "ssimulacra2"]

# How close to the target is close enough: a share of the bytes, dB, or points of SSIMULACRA 2.
BYTES_TOLERANCE = 0.005
QUALITY_TOLERANCE = 0.02
POINTS_TOLERANCE = 0.1

# Means over photographs: the value at rate 0, and its slope over the rate. A search begins where they say.
_TYPICAL_LOG_BPP = (math.log(0.09), LOG_SIZE_SLOPE)
_TYPICAL_QUALITY = {"psnr": (26.2, 14.0), "ssim": (11.7, 12.6), "ssimulacra2": (1.1, 8.9)}


@dataclass(frozen=True)
class Target:
    """``size`` in bytes, ``bpp``: at most so much.

    ``psnr`` in dB, ``ssim`` (MS-SSIM), ``ssimulacra2`` (up to 100): at least so much.
    """

    kind: TargetKind
    value: float

    def __post_init__(self) -> None:
        may_be_negative = self.kind in ("psnr", "ssimulacra2")
        if not math.isfinite(self.value) or (self.value <= 0 and not may_be_negative):
            raise UsageError(f"{self.value:g} is no {self.kind} to aim at")
        if self.kind == "ssim" and self.value >= 1:
            raise UsageError("an MS-SSIM to aim at is below 1")
        if self.kind == "ssimulacra2" and self.value > 100:
            raise UsageError("a SSIMULACRA 2 score to aim at is at most 100")

    @property
    def limits_size(self) -> bool:
        """Whether it is a size, not a quality."""
        return self.kind in ("size", "bpp")

    @property
    def tune(self) -> Tune | None:
        """What weights should be tuned for that meet it with the fewest bits; None where that is as ever."""
        return cast(Tune, self.kind) if self.kind in get_args(Tune) else None


def choose_target(
    rate: float | None,
    bin_size: float | None,
    given: Mapping[TargetKind, float | None],
    *,
    names: str,
) -> Target | None:
    """The target among ``given``, or None.

    Raises UsageError for more than one of targets, rate and bin size; ``names``: what their users call them.
    """
    targets = [Target(kind, value) for kind, value in given.items() if value is not None]
    if len(targets) + (rate is not None) + (bin_size is not None) > 1:
        raise UsageError(f"give one of {names}")
    return targets[0] if targets else None


@dataclass(frozen=True)
class TargetBand:
    """A target in the units of `TrialEncoder.value`. A search ends at a value in ``low`` .. ``high``.

    ``ceiling``: the target is met by at most ``high``, otherwise by at least ``low``. ``intercept`` and
    ``slope``: the value to expect at rate 0, and its change per unit of rate.
    """

    low: float
    high: float
    ceiling: bool
    intercept: float
    slope: float

    @property
    def centre(self) -> float:
        """The value to aim at."""
        return (self.low + self.high) / 2

    def is_met_by(self, value: float) -> bool:
        """Whether ``value`` meets the target, however far from it."""
        return value <= self.high if self.ceiling else value >= self.low

    @property
    def expected_code(self) -> int:
        """The rate code at which to expect the centre, before anything is encoded."""
        return clip_rate_code((self.centre - self.intercept) / self.slope * RATE_CODE_MAX)


def derive_band(target: Target, picture: Picture) -> TargetBand:
    """The band of ``target``: the logarithm of bytes, or dB (`quality_value`)."""
    if target.limits_size:
        pixels = picture.width * picture.height
        limit = target.value if target.kind == "size" else target.value * pixels / 8
        intercept, slope = _TYPICAL_LOG_BPP
        high = math.log(limit)
        low = high + math.log1p(-BYTES_TOLERANCE)
        return TargetBand(low, high, True, intercept + math.log(pixels / 8), slope)
    low = quality_value(target.kind, target.value)
    high = (
        quality_value(target.kind, target.value + POINTS_TOLERANCE)
        if target.kind == "ssimulacra2"
        else low + QUALITY_TOLERANCE
    )
    return TargetBand(low, high, False, *_TYPICAL_QUALITY[target.kind])


def quality_value(kind: TargetKind, quality: float) -> float:
    """A quality on a scale on which it rises about evenly with the rate: in dB, also MS-SSIM, SSIMULACRA 2."""
    if kind == "psnr":
        return quality
    return as_decibels(quality if kind == "ssim" else quality / 100)
