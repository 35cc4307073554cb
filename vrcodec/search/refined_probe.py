"""Meeting a target with a search for better latents: at the rate that meets it without one, or near there.

What was found at one rate is where the search at the next begins, which is then a quarter as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.metrics import capped_psnr, ms_ssim
from vrcodec.rate import RATE_CODE_MAX, clipped_rate_code
from vrcodec.refinement.effort import Effort, Watch
from vrcodec.refinement.surrogate import Wanted
from vrcodec.search.probe import Probe
from vrcodec.search.rate_search import RatePoint
from vrcodec.search.target import Goal

_CORRECTIONS = 3
# Levels of effort that a correction takes less: each is half the steps.
_LEVELS_LESS = 2
# Of the time that is left, what a search takes when others may follow.
_SHARE = 0.5
# A slope between two rates differs from the usual one by at most this factor.
_TRUSTED = 3.0


class RefiningProbe(Probe):
    """The files of ``plain``, made better. ``end``: when time is up, on the monotonic clock."""

    def __init__(self, plain: Probe, effort: Effort, watch: Watch, end: float | None) -> None:
        own = plain.encoder, plain.decoder, plain.picture, plain.kind, plain.setting
        super().__init__(*own, plain.latents)
        self._effort, self._watch, self._end = effort, watch, end
        self._wanted: Wanted | None = None

    @property
    def stopped(self) -> bool:
        """Whether there is to be no other search."""
        return self._watch.interrupted or (self._end is not None and time.monotonic() > self._end)

    def _streams(self, setting: Setting) -> list[Stream]:
        number = len(self._files)
        watch = replace(self._watch, advance=_shared(self._watch.advance, number))
        refined = self.encoder.refine(
            self.picture, self.latents, setting, self._spent(), watch, self._wanted
        )
        self._watch.interrupted = watch.interrupted
        self._wanted = refined.wanted
        return refined.streams

    def _spent(self) -> Effort:
        if self._end is not None:
            left = max(self._end - time.monotonic(), 1e-3)
            return replace(self._effort, seconds=_SHARE * left)
        if self._wanted is None:
            return self._effort
        return replace(self._effort, level=max(1, self._effort.level - _LEVELS_LESS))


def refined_near(
    plain: Probe, goal: Goal, code: int, effort: Effort, watch: Watch, since: float
) -> tuple[Probe, int]:
    """What has the best file for ``goal``, and its rate code; ``plain`` meets it best at ``code``.

    ``since``: when the time that ``effort`` may give began to run.
    """
    end = None if effort.seconds is None else since + effort.seconds
    probe = RefiningProbe(plain, effort, watch, end)
    at: int | None = code
    for _ in range(1 + _CORRECTIONS):
        if at is None or probe.stopped:
            break
        at = _next(goal, plain, (at, probe.value(at)))
    tried: list[tuple[Probe, RatePoint]] = [(probe, point) for point in probe.points()]
    tried.append((plain, (code, plain.value(code))))
    meeting = [(owner, c) for owner, (c, value) in tried if goal.met_by(value)]
    if meeting:
        better = _better if goal.ceiling else _smaller
        return max(meeting, key=lambda k: better(k[0], k[1], effort))
    owner, (nearest, _) = min(tried, key=lambda k: abs(k[1][1] - goal.aim))
    return owner, nearest


def _smaller(probe: Probe, code: int, effort: Effort) -> float:
    return -len(probe.data(code))


def _better(probe: Probe, code: int, effort: Effort) -> float:
    """The quality that ``effort`` aims at."""
    seen = probe.picture.displayed(), probe.decoder.decode(probe.data(code)).displayed()
    found = ms_ssim(*seen) if effort.tune == "msssim" else capped_psnr(*seen)
    assert found is not None
    return found


def _next(goal: Goal, plain: Probe, last: RatePoint) -> int | None:
    """The code to try after the ``last``, unless that is close enough or there is nothing beyond it."""
    code, value = last
    if goal.low <= value <= goal.high:
        return None
    usual = goal.slope / RATE_CODE_MAX
    # How the plain files changed near here: those that are better change alike.
    near = sorted(plain.points(), key=lambda point: abs(point[0] - code))[:2]
    slope = usual
    if len(near) == 2:
        (a, its_value), (b, other_value) = near
        found = (other_value - its_value) / (b - a)
        slope = min(max(found, usual / _TRUSTED), usual * _TRUSTED)
    at = clipped_rate_code(code + (goal.aim - value) / slope)
    return None if at == code else at


def _shared(advance: Callable[[float], None], number: int) -> Callable[[float], None]:
    """``advance`` for search ``number``; the first counts as much as all that may follow."""
    before = 0.0 if number == 0 else 0.5 + 0.5 * (number - 1) / _CORRECTIONS
    part = 0.5 if number == 0 else 0.5 / _CORRECTIONS
    return lambda share: advance(before + part * share)
