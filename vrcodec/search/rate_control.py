"""Finding the rate that meets a target: bytes, bits per pixel, PSNR or MS-SSIM.

The analysis runs once; each probe repeats only what the rate changes. From the tables that
one probe used follows what the file would weigh at other rates, because the scales of all symbols move
together; quality in dB is nearly linear in the rate. So a few probes where the target should be met
suffice; where a picture defies that, the search falls back to bisection of the 16-bit rate code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError, TargetError
from vrcodec.metrics import CAP
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import without_hidden
from vrcodec.rate import rate_from_code
from vrcodec.refinement.effort import NO_EFFORT, Effort, Watch
from vrcodec.search.probe import Probe
from vrcodec.search.rate_search import find_rate_code
from vrcodec.search.refined_probe import refined_near
from vrcodec.search.target import Target, goal_of


@dataclass(frozen=True)
class TargetFile:
    """The chosen file. ``achieved``: what it comes to, in the unit of the target.

    ``met`` is false when no rate meets the target: then it is the nearest there is. ``code``: of its rate; None
    of a picture without loss, which has none. ``side_bytes``: how much of it is alpha and metadata.
    """

    data: bytes
    code: int | None
    achieved: float
    met: bool
    side_bytes: int = 0


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
    watch: Watch | None = None,
    lossless_fallback: bool = False,
) -> TargetFile:
    """The best file within a size, or the smallest that is as good as asked for, within a tolerance.

    ``qmap``: the shape of a quality map, whose level is searched. ``width``: of the networks, where it is not
    the rate's own. ``effort``: of a search for better latents near the rate that meets the target without
    one; ``watch``: who looks on. ``lossless_fallback``: the picture without loss, where that fits the size, or
    is no larger than a model's file that is as good as asked for. A bilevel picture is stored so in any case.

    When no rate meets ``target``: the nearest, or with ``strict`` a TargetError that names it.
    """
    since = time.monotonic()
    exact = None
    if lossless_fallback or picture.mode == "1":
        exact = _found_exactly(encoder, picture, target)
    if exact and (picture.mode == "1" or (exact.met and target.kind in ("size", "bpp"))):
        return _strictly(exact, target, strict)
    picture = without_hidden(picture)
    probe = Probe(encoder, decoder, picture, target.kind, Setting(0, qmap=qmap, width=width))
    try:
        found = _found_by_model(probe, target, effort, watch or Watch(), since)
    except InputError:
        # The model breaks down on the picture.
        if exact is None:
            raise
        return _strictly(exact, target, strict)
    if exact and (len(exact.data) <= len(found.data) or (exact.met and not found.met)):
        found = exact
    return _strictly(found, target, strict)


def _found_by_model(
    probe: Probe, target: Target, effort: Effort, watch: Watch, since: float
) -> TargetFile:
    goal = goal_of(target, probe.picture)
    code, met = find_rate_code(probe.value, goal, probe.forecast, probe.start(goal))
    if effort.searches:
        probe, code = refined_near(probe, goal, code, effort, watch, since)
        met = goal.met_by(probe.value(code))
    sides = probe.encoder.side_bytes(probe.picture)
    return TargetFile(probe.data(code), code, probe.achieved(code), met, sides)


def _strictly(found: TargetFile, target: Target, strict: bool) -> TargetFile:
    if strict and not found.met:
        raise TargetError(nearest_words(found, target))
    return found


def _found_exactly(encoder: Encoder, picture: Picture, target: Target) -> TargetFile:
    """The picture without loss: it has any quality, and the size that it has."""
    data, sides = encoder.lossless(picture), encoder.side_bytes(picture)
    if target.kind in ("psnr", "ssim"):
        best = CAP if target.kind == "psnr" else 1.0
        return TargetFile(data, None, best, best >= target.value, sides)
    achieved: float = len(data)
    if target.kind == "bpp":
        achieved = 8 * len(data) / (picture.width * picture.height)
    return TargetFile(data, None, achieved, achieved <= target.value, sides)


def nearest_words(found: TargetFile, target: Target) -> str:
    """What to say when no rate meets ``target``."""
    edge = "at most" if target.kind in ("size", "bpp") else "at least"
    unit = {"size": "bytes", "bpp": "bits a pixel", "psnr": "dB", "ssim": "MS-SSIM"}[target.kind]
    where = "without loss" if found.code is None else f"at rate {rate_from_code(found.code):g}"
    words = f"no rate gives {edge} {target.value:.6g} {unit}; the nearest is {found.achieved:.6g} {where}"
    if found.side_bytes and target.kind in ("size", "bpp"):
        words += f", of which alpha and metadata take {found.side_bytes} bytes"
    return words
