"""Rate control with latent refinement: at the rate that meets the target without it, or near there.

Refinement at one rate starts from the refined latents of the one before, and is then a quarter as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.metrics import capped_psnr, ms_ssim, ssimulacra2
from vrcodec.rate import RATE_CODE_MAX, clip_rate_code
from vrcodec.refinement.effort import Effort, SearchMonitor
from vrcodec.search.rate_search import RatePoint
from vrcodec.search.target import TargetBand
from vrcodec.search.trial_encoder import TrialEncoder

if TYPE_CHECKING:
    from vrcodec.refinement.surrogate import ContinuousLatents

# Refinements at other rates after the first one.
_MAX_CORRECTIONS = 3
# By how much a correction lowers the level of effort; each level halves the steps.
_EFFORT_REDUCTION = 2
# The share of the time left that a refinement takes, because others may follow.
_TIME_SHARE = 0.5
# A measured slope is clamped to the usual one times or over this factor.
_MAX_SLOPE_RATIO = 3.0


class RefiningTrialEncoder(TrialEncoder):
    """Trial encodes like those of ``plain``, refined. ``deadline``: on the monotonic clock."""

    def __init__(
        self, plain: TrialEncoder, effort: Effort, monitor: SearchMonitor, deadline: float | None
    ) -> None:
        super().__init__(
            plain.encoder, plain.decoder, plain.picture, plain.kind, plain.axis, plain.latents
        )
        self._effort, self._monitor, self._deadline = effort, monitor, deadline
        self._refined: ContinuousLatents | None = None

    @property
    def stopped(self) -> bool:
        """Whether refinement was interrupted, or its time is up."""
        return self._monitor.interrupted or (
            self._deadline is not None and time.monotonic() > self._deadline
        )

    def _compress(self, setting: RateSetting) -> list[Stream]:
        number = len(self._files)
        on_progress = _share_progress(self._monitor.on_progress, number)
        monitor = replace(self._monitor, on_progress=on_progress)
        refined = self.encoder.refine(
            self.picture, self.latents, setting, self._next_effort(), monitor, self._refined
        )
        self._monitor.interrupted = monitor.interrupted
        self._refined = refined.latents
        return refined.streams

    def _next_effort(self) -> Effort:
        if self._deadline is not None:
            left = max(self._deadline - time.monotonic(), 1e-3)
            return replace(self._effort, seconds=_TIME_SHARE * left)
        if self._refined is None:
            return self._effort
        return replace(self._effort, level=max(1, self._effort.level - _EFFORT_REDUCTION))


def refine_near(
    plain: TrialEncoder,
    band: TargetBand,
    code: int,
    effort: Effort,
    monitor: SearchMonitor,
    start_time: float,
) -> tuple[TrialEncoder, int]:
    """The trial encoder with the best file for ``band``, and its code.

    ``code``: where the files of ``plain`` meet the band best. ``start_time``: when a time budget began to run.
    """
    deadline = None if effort.seconds is None else start_time + effort.seconds
    refined = RefiningTrialEncoder(plain, effort, monitor, deadline)
    next_code: int | None = code
    for _ in range(1 + _MAX_CORRECTIONS):
        if next_code is None or refined.stopped:
            break
        next_code = _next_code(band, plain, (next_code, refined.value(next_code)))
    tried: list[tuple[TrialEncoder, RatePoint]] = [(refined, point) for point in refined.points()]
    tried.append((plain, (code, plain.value(code))))
    meeting = [
        (trials, tried_code) for trials, (tried_code, value) in tried if band.is_met_by(value)
    ]
    if meeting:
        merit = _quality if band.ceiling else _negative_size
        return max(meeting, key=lambda candidate: merit(candidate[0], candidate[1], effort))
    trials, (nearest_code, _) = min(tried, key=lambda trial: abs(trial[1][1] - band.centre))
    return trials, nearest_code


def _negative_size(trials: TrialEncoder, code: int, effort: Effort) -> float:
    return -len(trials.file(code))


def _quality(trials: TrialEncoder, code: int, effort: Effort) -> float:
    """The quality metric that ``effort`` optimises."""
    pictures = trials.picture.to_rgb(), trials.decoder.decode(trials.file(code)).to_rgb()
    measure = {"psnr": capped_psnr, "msssim": ms_ssim, "ssimulacra2": ssimulacra2}[effort.tune]
    quality = measure(*pictures)
    # What is too small for SSIMULACRA 2 is searched for squared error, too.
    return capped_psnr(*pictures) if quality is None else quality


def _next_code(band: TargetBand, plain: TrialEncoder, last: RatePoint) -> int | None:
    """The code to try after the ``last`` point; None where that is in the band, or no other code is left."""
    code, value = last
    if band.low <= value <= band.high:
        return None
    usual_slope = band.slope / RATE_CODE_MAX
    # The slope of the plain files near here: that of refined files is about the same.
    near = sorted(plain.points(), key=lambda point: abs(point[0] - code))[:2]
    slope = usual_slope
    if len(near) == 2:
        (first_code, first_value), (second_code, second_value) = near
        measured = (second_value - first_value) / (second_code - first_code)
        slope = min(max(measured, usual_slope / _MAX_SLOPE_RATIO), usual_slope * _MAX_SLOPE_RATIO)
    next_code = clip_rate_code(code + (band.centre - value) / slope, *plain.axis.ends)
    return None if next_code == code else next_code


def _share_progress(on_progress: Callable[[float], None], number: int) -> Callable[[float], None]:
    """``on_progress`` for refinement ``number``; the first counts as much as all that may follow."""
    before = 0.0 if number == 0 else 0.5 + 0.5 * (number - 1) / _MAX_CORRECTIONS
    part = 0.5 if number == 0 else 0.5 / _MAX_CORRECTIONS
    return lambda share: on_progress(before + part * share)
