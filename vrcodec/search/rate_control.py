"""Rate control: encode to a target of bytes, bits per pixel, PSNR, MS-SSIM or SSIMULACRA 2.

The analysis runs once; each trial encode repeats only what the rate changes. The tables that one trial used
tell the size at other rates, because the scales of all symbols move together; quality in dB is nearly linear
in the rate. So a few trials suffice; where a picture defies that, the search falls back to bisection of the
16-bit rate code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError, TargetError
from vrcodec.metrics import MAX_DECIBELS
from vrcodec.own_state import in_own_state
from vrcodec.picture.graphics import has_few_colours
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent
from vrcodec.rate import RATE_CODE_MAX, rate_from_code
from vrcodec.refinement.effort import NO_EFFORT, Effort, SearchMonitor
from vrcodec.search.lossless_choice import (
    LosslessMode,
    may_be_smaller_exact,
    may_be_stored_in,
    with_lossless_cells,
)
from vrcodec.search.rate_axis import derive_axis, is_rate
from vrcodec.search.rate_search import find_rate_code
from vrcodec.search.refined_trials import refine_near
from vrcodec.search.target import Target, derive_band
from vrcodec.search.trial_encoder import TrialEncoder


@dataclass(frozen=True)
class RateControlResult:
    """The chosen file. ``achieved``: its size or quality in the unit of the target.

    ``met`` is false when nothing meets the target: then the file is the nearest to it. ``code``: where it is on
    the `RateAxis`; None for a picture stored without loss. ``auxiliary_bytes``: how much of it is alpha,
    metadata and lossless cells.
    """

    data: bytes
    code: int | None
    achieved: float
    met: bool
    auxiliary_bytes: int = 0


@in_own_state
def encode_to_target(
    encoder: Encoder,
    decoder: Decoder,
    picture: Picture,
    target: Target,
    *,
    qmap: QualityMap | None = None,
    width: int | None = None,
    max_width: int | None = None,
    strict: bool = False,
    effort: Effort = NO_EFFORT,
    monitor: SearchMonitor | None = None,
    lossless: LosslessMode = "auto",
) -> RateControlResult:
    """The best file of at most a size, or the smallest of at least a quality, within a tolerance.

    ``qmap``: the shape of a quality map, whose level is searched. ``width``: of the networks, where the rate
    does not choose it; ``max_width``: the widest that it may choose. ``effort``: of latent refinement near the
    rate that meets the target without it; ``monitor``: of that. ``lossless``: whether to store without loss;
    ``auto``: where that fits the size, or is no larger than a model's file of the quality, or no rate has the
    quality. A bilevel picture is stored so in any case.

    Beyond the rates `qvrf` and imported networks go on with other quantisation steps (`RateAxis`). When nothing
    meets ``target``: the file nearest to it, or with ``strict`` a TargetError that names it.
    """
    search = _TargetSearch(
        encoder,
        decoder,
        target,
        RateSetting(0, qmap=qmap, width=width, max_width=max_width),
        effort,
        monitor,
    )
    result = search.run(picture, lossless)
    if strict and not result.met:
        raise TargetError(unmet_target_message(result, target))
    return result


class _TargetSearch:
    """The search for one target: what `encode_to_target` is given."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        target: Target,
        setting: RateSetting,
        effort: Effort,
        monitor: SearchMonitor | None,
    ) -> None:
        self._encoder, self._decoder, self._target = encoder, decoder, target
        self._axis, self._effort = derive_axis(encoder.model, setting), effort
        self._monitor = monitor or SearchMonitor()
        self._start_time = time.monotonic()

    def run(self, picture: Picture, lossless: LosslessMode) -> RateControlResult:
        """The best file that ``lossless`` allows."""
        if lossless == "always" or picture.mode == "1":
            return self._store_without_loss(picture)
        if lossless == "never":
            return self._search(picture, self._effort)
        graphics = with_lossless_cells(picture)
        exact = None
        if graphics or has_few_colours(picture.pixels):
            exact = self._store_without_loss(picture)
        if exact and exact.met and self._target.limits_size:
            return exact
        try:
            result = (
                self._search_graphics(picture, graphics)
                if graphics
                else self._search(picture, self._effort)
            )
        except InputError:
            # The model breaks down on the picture.
            return exact or self._store_without_loss(picture)
        has_room = (
            result.code is not None
            and result.code >= RATE_CODE_MAX
            and self._may_fit_exact(picture)
        )
        if exact is None and (
            has_room or not result.met or may_be_smaller_exact(picture, result.data)
        ):
            exact = self._store_without_loss(picture)
        if exact and (
            len(exact.data) <= len(result.data) or (exact.met and (has_room or not result.met))
        ):
            return exact
        return result

    def _may_fit_exact(self, picture: Picture) -> bool:
        """Whether the size that is asked for may do for all of the picture: then no rate is as good."""
        if not self._target.limits_size:
            return False
        pixels = picture.width * picture.height
        bpp = self._target.value * (8 / pixels if self._target.kind == "size" else 1)
        return may_be_stored_in(picture, bpp)

    def _search_graphics(self, picture: Picture, graphics: Picture) -> RateControlResult:
        """The better of ``picture`` and ``graphics``, which is the same with lossless cells."""
        plain = self._search(picture, NO_EFFORT)
        assert plain.code is not None
        chosen, best = picture, plain
        if len(self._encoder.encode(graphics, self._axis.setting(plain.code))) <= len(plain.data):
            mixed = self._search(graphics, NO_EFFORT)
            if mixed.met or not plain.met:
                chosen, best = graphics, mixed
        return self._search(chosen, self._effort) if self._effort.searches else best

    def _search(self, picture: Picture, effort: Effort) -> RateControlResult:
        picture = fill_transparent(picture)
        band = derive_band(self._target, picture)
        trials = TrialEncoder(self._encoder, self._decoder, picture, self._target.kind, self._axis)
        code, met = find_rate_code(
            trials.value, band, trials.forecast, trials.first_code(band), self._axis.ends
        )
        if effort.searches:
            trials, code = refine_near(trials, band, code, effort, self._monitor, self._start_time)
            met = band.is_met_by(trials.value(code))
        auxiliary_bytes = self._encoder.auxiliary_bytes(picture)
        return RateControlResult(
            trials.file(code), code, trials.achieved(code), met, auxiliary_bytes
        )

    def _store_without_loss(self, picture: Picture) -> RateControlResult:
        """The picture stored without loss, which meets every quality, and a size or not."""
        data = self._encoder.encode_lossless(picture)
        target, auxiliary_bytes = self._target, self._encoder.auxiliary_bytes(picture)
        if not target.limits_size:
            best = {"psnr": MAX_DECIBELS, "ssim": 1.0, "ssimulacra2": 100.0}[target.kind]
            return RateControlResult(data, None, best, True, auxiliary_bytes)
        achieved: float = len(data)
        if target.kind == "bpp":
            achieved = 8 * len(data) / (picture.width * picture.height)
        return RateControlResult(data, None, achieved, achieved <= target.value, auxiliary_bytes)


def unmet_target_message(result: RateControlResult, target: Target) -> str:
    """The message for a ``target`` that no rate meets."""
    edge = "at most" if target.limits_size else "at least"
    unit = {
        "size": "bytes",
        "bpp": "bits a pixel",
        "psnr": "dB",
        "ssim": "MS-SSIM",
        "ssimulacra2": "points of SSIMULACRA 2",
    }[target.kind]
    words = (
        f"no rate gives {edge} {target.value:.6g} {unit}; the nearest is {result.achieved:.6g} "
        f"{_describe_place(result.code)}"
    )
    if result.auxiliary_bytes and target.limits_size:
        words += f", of which alpha and metadata take {result.auxiliary_bytes} bytes"
    return words


def _describe_place(code: int | None) -> str:
    """Where on the axis a file is."""
    if code is None:
        return "without loss"
    if is_rate(code):
        return f"at rate {rate_from_code(code):g}"
    return f"with the {'coarsest' if code < 0 else 'finest'} steps beyond the rates"
