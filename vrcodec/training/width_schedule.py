"""The schedule of a slimmable model: the width for each rate, found on pictures.

Yang et al. (CVPR 2021, section 4) move, for each width, the trade-off up to where the next width does better.
Here the budget is half of the work of the widest, on average over the rate; within it, excess bits against the
widest are minimised. At a switch the level of the wider network is set so that on no picture the file shrinks
or PSNR falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vrcodec.metrics import capped_psnr
from vrcodec.models.families.slim import Slim
from vrcodec.rate import RATE_CODE_MAX

Reals = npt.NDArray[np.float64]
Schedule = npt.NDArray[np.int32]

LEVELS = np.linspace(0, 1, 17)
_CROP = 512
# Least growth at a switch, on every picture: in the logarithm of bytes, and in dB.
_BYTES_MARGIN = 0.005
_PSNR_MARGIN = 0.02
# Levels at which a width may begin.
_FIRST_LEVELS = np.linspace(0, 1, 1001)
# Mean work over the rate, as a share of that of the widest.
_WORK_SHARE = 0.5
# Steps of the bisection for the price of work.
_BISECTIONS = 30
# Rates at which a width is chosen.
_RATES = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Curve:
    """One width: logarithms of file sizes and PSNR in dB, both (pictures, levels)."""

    log_bytes: Reals
    psnr: Reals

    def level_at_size(self, log_bytes: float) -> float:
        """The level with this mean logarithm of bytes, limited to the ends of the curve."""
        return float(np.interp(log_bytes, self.log_bytes.mean(0), LEVELS))

    def interpolate(self, level: float | Reals) -> tuple[Reals, Reals]:
        """Logarithms of bytes and PSNR (pictures,) at a level, or (pictures, n) at n levels."""
        position = np.asarray(level) * (len(LEVELS) - 1)
        left = np.minimum(position.astype(int), len(LEVELS) - 2)
        weight = position - left
        values = (
            v[:, left] * (1 - weight) + v[:, left + 1] * weight for v in (self.log_bytes, self.psnr)
        )
        log_bytes, psnr = values
        return log_bytes, psnr


def measure_widths(model: Slim, pictures: Sequence[Tensor]) -> dict[int, Curve]:
    """The curve of each width on central crops of ``pictures``, uint8 (3, H, W). ``model``: ready to code."""
    crops = [_central_crop(picture) for picture in pictures]
    return {width: _measure_width(model, width, crops) for width in model.size.widths}


def find_schedule(curves: Mapping[int, Curve], kmac: Mapping[int, float]) -> Schedule:
    """The schedule, (widths, 3) as `vrcodec.models.families.slim` has it. ``kmac``: the work of each width."""
    excess = {width: _excess_bits(curve, curves[max(curves)]) for width, curve in curves.items()}
    budget = _WORK_SHARE * kmac[max(curves)]
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        price = (low + high) / 2
        work = mean_work(_build_schedule(curves, _choose_ends(excess, kmac, price)), kmac)
        low, high = (price, high) if work > budget else (low, price)
    return _build_schedule(curves, _choose_ends(excess, kmac, high))


def mean_work(schedule: Schedule, kmac: Mapping[int, float]) -> float:
    """Mean over the rate of the work of a schedule; ``kmac``: the work of each width."""
    shares = np.diff([*schedule[:, 0].tolist(), RATE_CODE_MAX]) / RATE_CODE_MAX
    return float(np.dot(shares, [kmac[width] for width in sorted(kmac)]))


def _measure_width(model: Slim, width: int, crops: Sequence[npt.NDArray[np.uint8]]) -> Curve:
    sizes, quality = [], []
    for crop in crops:
        latents = model.analyse(crop)
        for level in LEVELS:
            rate = model.rate_parameters_at_width(round(level * RATE_CODE_MAX), width)
            streams = model.compress(latents, rate)
            decoded = model.decompress(streams, rate, crop.shape[1], crop.shape[0])
            sizes.append(np.log(sum(len(stream.data) for stream in streams)))
            quality.append(capped_psnr(crop, decoded))
    shape = len(crops), len(LEVELS)
    return Curve(np.reshape(sizes, shape), np.reshape(quality, shape))


def _central_crop(picture: Tensor) -> npt.NDArray[np.uint8]:
    top, left = (max(0, side - _CROP) // 2 for side in picture.shape[-2:])
    crop = picture[:, top : top + _CROP, left : left + _CROP]
    return np.ascontiguousarray(crop.permute(1, 2, 0).cpu().numpy())


def _target_sizes(rates: Reals, widest: Curve) -> Reals:
    """Target mean logarithm of bytes at ``rates``: that of the widest network."""
    return np.interp(rates, LEVELS, widest.log_bytes.mean(0))


def _excess_bits(curve: Curve, widest: Curve) -> Reals:
    """Logarithm of the excess bits over the widest at equal PSNR, at `_RATES`; infinite out of reach."""
    sizes, quality = curve.log_bytes.mean(0), curve.psnr.mean(0)
    needed = np.interp(quality, widest.psnr.mean(0), widest.log_bytes.mean(0))
    return np.interp(_target_sizes(_RATES, widest), sizes, sizes - needed, right=np.inf)


def _choose_ends(
    excess: Mapping[int, Reals], kmac: Mapping[int, float], price: float
) -> list[float]:
    """The rates at which each width ends when work costs ``price`` in logarithms of bits."""
    costs = [excess[width] + price * kmac[width] for width in excess]
    # Widths only grow with the rate.
    best = np.maximum.accumulate(np.argmin(costs, axis=0))
    ends = [
        float(_RATES[best <= index][-1]) if (best <= index).any() else 0.0
        for index in range(len(costs))
    ]
    return [*ends[:-1], 1.0]


def _build_schedule(curves: Mapping[int, Curve], ends: Sequence[float]) -> Schedule:
    """First rate, first and last level of each width, such that no picture shrinks or gets worse."""
    widest = curves[max(curves)]
    levels: list[tuple[float, float]] = []
    lengths = []
    previous: tuple[Reals, Reals] | None = None
    for curve, end in zip(curves.values(), ends, strict=True):
        low = _level_beyond(curve, previous) if previous else 0.0
        high = max(low, curve.level_at_size(float(_target_sizes(np.array(end), widest))))
        levels.append((low, high))
        lengths.append(
            float(np.diff([curve.interpolate(level)[0].mean() for level in (low, high)])[0])
        )
        previous = curve.interpolate(high)
    # Files of an untrained model may be of one size at all levels.
    total = sum(lengths)
    firsts = np.cumsum([0.0, *lengths[:-1]]) / total if total > 0 else [0.0, *ends[:-1]]
    rows = [[first, *pair] for first, pair in zip(firsts, levels, strict=True)]
    return np.rint(RATE_CODE_MAX * np.array(rows)).astype(np.int32)


def _level_beyond(curve: Curve, previous: tuple[Reals, Reals]) -> float:
    """The lowest level at which every picture is larger and better than ``previous``."""
    log_bytes, psnr = curve.interpolate(_FIRST_LEVELS)
    larger = log_bytes - previous[0][:, None] >= _BYTES_MARGIN
    better = psnr - previous[1][:, None] >= _PSNR_MARGIN
    beyond = np.all(larger & better, axis=0)
    return float(_FIRST_LEVELS[beyond.argmax()]) if beyond.any() else 1.0
