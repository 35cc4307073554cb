"""Rate control: encode to a target of bytes, bits per pixel, PSNR or MS-SSIM.

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
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent
from vrcodec.rate import rate_from_code
from vrcodec.refinement.effort import NO_EFFORT, Effort, SearchMonitor
from vrcodec.search.rate_search import find_rate_code
from vrcodec.search.refined_trials import refine_near
from vrcodec.search.target import Target, derive_band
from vrcodec.search.trial_encoder import TrialEncoder


@dataclass(frozen=True)
class RateControlResult:
    """The chosen file. ``achieved``: its size or quality in the unit of the target.

    ``met`` is false when no rate meets the target: then the file is the nearest to it. ``code``: its rate code;
    None for a picture stored without loss. ``auxiliary_bytes``: how much of it is alpha and metadata.
    """

    data: bytes
    code: int | None
    achieved: float
    met: bool
    auxiliary_bytes: int = 0


def encode_to_target(
    encoder: Encoder,
    decoder: Decoder,
    picture: Picture,
    target: Target,
    *,
    qmap: QualityMap | None = None,
    width: int | None = None,
    strict: bool = False,
    effort: Effort = NO_EFFORT,
    monitor: SearchMonitor | None = None,
    lossless_fallback: bool = False,
) -> RateControlResult:
    """The best file of at most a size, or the smallest of at least a quality, within a tolerance.

    ``qmap``: the shape of a quality map, whose level is searched. ``width``: of the networks, where the rate
    does not choose it. ``effort``: of latent refinement near the rate that meets the target without it;
    ``monitor``: of that. ``lossless_fallback``: store the picture without loss where that fits the size, or is
    no larger than a model's file of the quality. A bilevel picture is stored so in any case.

    When no rate meets ``target``: the file nearest to it, or with ``strict`` a TargetError that names it.
    """
    start_time = time.monotonic()
    lossless = None
    if lossless_fallback or picture.mode == "1":
        lossless = _encode_lossless(encoder, picture, target)
    if lossless and (picture.mode == "1" or (lossless.met and target.kind in ("size", "bpp"))):
        return _check_met(lossless, target, strict)
    picture = fill_transparent(picture)
    trials = TrialEncoder(
        encoder, decoder, picture, target.kind, RateSetting(0, qmap=qmap, width=width)
    )
    try:
        result = _search_rate(trials, target, effort, monitor or SearchMonitor(), start_time)
    except InputError:
        # The model breaks down on the picture.
        if lossless is None:
            raise
        return _check_met(lossless, target, strict)
    if lossless and (len(lossless.data) <= len(result.data) or (lossless.met and not result.met)):
        result = lossless
    return _check_met(result, target, strict)


def _search_rate(
    trials: TrialEncoder, target: Target, effort: Effort, monitor: SearchMonitor, start_time: float
) -> RateControlResult:
    band = derive_band(target, trials.picture)
    code, met = find_rate_code(trials.value, band, trials.forecast, trials.first_code(band))
    if effort.searches:
        trials, code = refine_near(trials, band, code, effort, monitor, start_time)
        met = band.is_met_by(trials.value(code))
    auxiliary_bytes = trials.encoder.auxiliary_bytes(trials.picture)
    return RateControlResult(trials.file(code), code, trials.achieved(code), met, auxiliary_bytes)


def _check_met(result: RateControlResult, target: Target, strict: bool) -> RateControlResult:
    if strict and not result.met:
        raise TargetError(unmet_target_message(result, target))
    return result


def _encode_lossless(encoder: Encoder, picture: Picture, target: Target) -> RateControlResult:
    """The picture stored without loss, which meets every quality, and a size or not."""
    data, auxiliary_bytes = encoder.encode_lossless(picture), encoder.auxiliary_bytes(picture)
    if target.kind in ("psnr", "ssim"):
        best = MAX_DECIBELS if target.kind == "psnr" else 1.0
        return RateControlResult(data, None, best, best >= target.value, auxiliary_bytes)
    achieved: float = len(data)
    if target.kind == "bpp":
        achieved = 8 * len(data) / (picture.width * picture.height)
    return RateControlResult(data, None, achieved, achieved <= target.value, auxiliary_bytes)


def unmet_target_message(result: RateControlResult, target: Target) -> str:
    """The message for a ``target`` that no rate meets."""
    edge = "at most" if target.kind in ("size", "bpp") else "at least"
    unit = {"size": "bytes", "bpp": "bits a pixel", "psnr": "dB", "ssim": "MS-SSIM"}[target.kind]
    where = "without loss" if result.code is None else f"at rate {rate_from_code(result.code):g}"
    words = f"no rate gives {edge} {target.value:.6g} {unit}; the nearest is {result.achieved:.6g} {where}"
    if result.auxiliary_bytes and target.kind in ("size", "bpp"):
        words += f", of which alpha and metadata take {result.auxiliary_bytes} bytes"
    return words
