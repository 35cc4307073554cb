"""Finding the rate that meets a target: bytes, bits per pixel, PSNR or MS-SSIM.

The analysis runs once; each probe repeats only what the rate changes. From the tables that
one probe used follows what the file would weigh at other rates, because the scales of all symbols move
together; quality in dB is nearly linear in the rate. So a few probes where the target should be met
suffice; where a picture defies that, the search falls back to bisection of the 16-bit rate code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError, TargetError, UsageError
from vrcodec.metrics import CAP, as_decibels, capped_psnr, ms_ssim
from vrcodec.models.base import Latents
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import without_hidden
from vrcodec.rate import RATE_CODE_MAX, rate_from_code
from vrcodec.search.effort import NO_EFFORT, Effort, Watch
from vrcodec.search.size_forecast import SIZE_SLOPE, SizeForecast, total_usage

# A rate code and the value there.
Known = tuple[int, float]
Forecast = Callable[[Known, float], float | None]
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
class Found:
    """The chosen file. ``achieved``: what it comes to, in the unit of the target.

    ``met`` is false when no rate meets the target: then it is the nearest there is. ``code``: of its rate; None
    of a picture without loss, which has none. ``side_bytes``: how much of it is alpha and metadata.
    """

    data: bytes
    code: int | None
    achieved: float
    met: bool
    side_bytes: int = 0


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
        return _clipped((self.aim - self.origin) / self.slope * RATE_CODE_MAX, 0, RATE_CODE_MAX)


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
) -> Found:
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
) -> Found:
    goal = _goal(target, probe.picture)
    code, met = search(probe.value, goal, probe.forecast, probe.start(goal))
    if effort.searches:
        from vrcodec.search.refinement.target import refined_near

        probe, code = refined_near(probe, goal, code, effort, watch, since)
        met = goal.met_by(probe.value(code))
    sides = probe.encoder.side_bytes(probe.picture)
    return Found(probe.data(code), code, probe.achieved(code), met, sides)


def _strictly(found: Found, target: Target, strict: bool) -> Found:
    if strict and not found.met:
        raise TargetError(nearest_words(found, target))
    return found


def _found_exactly(encoder: Encoder, picture: Picture, target: Target) -> Found:
    """The picture without loss: it has any quality, and the size that it has."""
    data, sides = encoder.lossless(picture), encoder.side_bytes(picture)
    if target.kind in ("psnr", "ssim"):
        best = CAP if target.kind == "psnr" else 1.0
        return Found(data, None, best, best >= target.value, sides)
    achieved: float = len(data)
    if target.kind == "bpp":
        achieved = 8 * len(data) / (picture.width * picture.height)
    return Found(data, None, achieved, achieved <= target.value, sides)


def nearest_words(found: Found, target: Target) -> str:
    """What to say when no rate meets ``target``."""
    edge = "at most" if target.kind in ("size", "bpp") else "at least"
    unit = {"size": "bytes", "bpp": "bits a pixel", "psnr": "dB", "ssim": "MS-SSIM"}[target.kind]
    where = "without loss" if found.code is None else f"at rate {rate_from_code(found.code):g}"
    words = f"no rate gives {edge} {target.value:.6g} {unit}; the nearest is {found.achieved:.6g} {where}"
    if found.side_bytes and target.kind in ("size", "bpp"):
        words += f", of which alpha and metadata take {found.side_bytes} bytes"
    return words


def _goal(target: Target, picture: Picture) -> Goal:
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


class Probe:
    """Encodes at rates, and remembers the files that may still be wanted."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        picture: Picture,
        kind: Kind,
        setting: Setting,
        latents: Latents | None = None,
    ) -> None:
        self.encoder, self.decoder, self.picture, self.kind = encoder, decoder, picture, kind
        self.setting = setting
        self.latents = latents or encoder.analyse(picture)
        self._files: dict[int, bytes] = {}
        self._sizes = SizeForecast(encoder.model, setting.qmap)
        self._quality: dict[int, float] = {}

    def data(self, code: int) -> bytes:
        """The file at rate ``code``."""
        if code not in self._files:
            setting = replace(self.setting, rate_code=code)
            streams = self._streams(setting)
            self._files[code] = self.encoder.pack(self.picture, setting, streams)
            self._sizes.learn(code, 8 * len(self._files[code]), total_usage(streams))
        return self._files[code]

    def _streams(self, setting: Setting) -> list[Stream]:
        return self.encoder.code(self.picture, self.latents, setting)

    def start(self, goal: Goal) -> int | None:
        """The code to begin with, from the latents alone, or from photographs and the map."""
        if self.kind not in ("size", "bpp"):
            return None
        own = math.exp(goal.aim) - self.encoder.side_bytes(self.picture)
        code = self._sizes.first_code(self.latents, 8 * max(own, 1.0))
        if code is not None:
            return code
        return self._sizes.code_like(goal.usual_code)

    def forecast(self, known: Known, aim: float) -> float | None:
        """The code at which the size should be ``aim``, going by the symbols at a known one."""
        if self.kind not in ("size", "bpp"):
            return None
        return self._sizes.code_with(known[0], 8 * math.exp(aim))

    def value(self, code: int) -> float:
        """What the search sees: the logarithm of the bytes, or dB."""
        if self.kind in ("size", "bpp"):
            return math.log(len(self.data(code)))
        return as_decibels(self._measured(code)) if self.kind == "ssim" else self._measured(code)

    def known(self) -> list[Known]:
        """The codes that were tried."""
        return [(code, self.value(code)) for code in self._files]

    def achieved(self, code: int) -> float:
        """The same in the unit of the target."""
        size = len(self.data(code))
        if self.kind == "size":
            return size
        if self.kind == "bpp":
            return 8 * size / (self.picture.width * self.picture.height)
        return self._measured(code)

    def _measured(self, code: int) -> float:
        if code not in self._quality:
            decoded = self.decoder.decode(self.data(code))
            self._quality[code] = self._compared(decoded)
        return self._quality[code]

    def _compared(self, decoded: Picture) -> float:
        seen = self.picture.displayed(), decoded.displayed()
        if self.kind == "psnr":
            return capped_psnr(*seen)
        similarity = ms_ssim(*seen)
        if similarity is None:
            raise UsageError("MS-SSIM is not defined for a picture with a side below 161 pixels")
        return similarity


def search(
    value: Callable[[int], float],
    goal: Goal,
    forecast: Forecast = lambda *_: None,
    start: int | None = None,
) -> tuple[int, bool]:
    """The rate code whose ``value`` meets ``goal`` best, and whether it meets it.

    ``value`` should rise with the code. ``forecast`` says where it will be the aim, going by one known
    code and its value; None leaves that to a line. ``start``: the code to begin with. Ends when a value
    is close enough, or when two neighbouring codes lie on either side: then the one that meets the goal.
    """
    # The bracket: codes known to be too low and too high, with their values.
    below: tuple[int, float] | None = None
    above: tuple[int, float] | None = None
    slope, turn = goal.slope / RATE_CODE_MAX, 0
    code = goal.usual_code if start is None else start
    while True:
        found = value(code)
        if goal.low <= found <= goal.high:
            return code, True
        if found < goal.low:
            below = code, found
        else:
            above = code, found
        end = _at_an_end(goal, below, above)
        if end:
            return end
        turn += 1
        if below and above:
            slope = (above[1] - below[1]) / (above[0] - below[0])
        code = _next(goal, below, above, slope, turn, forecast)


def _at_an_end(goal: Goal, below: Known | None, above: Known | None) -> tuple[int, bool] | None:
    """The answer when there is nothing left to try."""
    if below and above:
        if above[0] - below[0] > 1:
            return None
        return (below[0] if goal.ceiling else above[0]), True
    if below and below[0] == RATE_CODE_MAX:
        return RATE_CODE_MAX, goal.ceiling
    if above and above[0] == 0:
        return 0, not goal.ceiling
    return None


def _next(
    goal: Goal,
    below: Known | None,
    above: Known | None,
    slope: float,
    turn: int,
    forecast: Forecast,
) -> int:
    """The code to try: where the aim should be met, every fourth time the middle of the bracket."""
    low = below[0] + 1 if below else 0
    high = above[0] - 1 if above else RATE_CODE_MAX
    if below and above and (turn % 4 == 0 or slope <= 0):
        return (low + high) // 2
    nearest = min((k for k in (below, above) if k), key=lambda k: abs(k[1] - goal.aim))
    there = forecast(nearest, goal.aim)
    # With one side known, a curve flatter than expected must not be crept along.
    patience = 2 if there is None else 4
    stride = 1.0 if below and above else 2.0 ** max(0, turn - patience)
    distance = (goal.aim - nearest[1]) / slope if there is None else there - nearest[0]
    return _clipped(nearest[0] + stride * distance, low, high)


def _clipped(position: float, low: int, high: int) -> int:
    return int(min(max(round(position), low), high))
