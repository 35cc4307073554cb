"""Which width a rate should have: a schedule found on pictures.

Yang et al. (CVPR 2021, section 4) move, for each width, the trade-off up to where the next width does better.
Here the widths are given as much work, on average over the rate, as under an even schedule; with it, the
bits they waste against the widest are made as few as can be. At a switch the level of the wider network
is set so that on no picture the file shrinks, or the quality falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.bench.metrics import capped_psnr
from vrcodec.models.slim import Slim
from vrcodec.rate import RATE_CODE_MAX

Reals = npt.NDArray[np.float64]

LEVELS = np.linspace(0, 1, 17)
_CROP = 512
# At a switch, on every picture: so much larger in the logarithm of bytes, and so many dB better.
_BYTES_MARGIN = 0.005
_PSNR_MARGIN = 0.02
# Rates at which a width is chosen.
_RATES = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Curve:
    """One width: logarithms of file sizes and PSNR in dB, both (pictures, levels)."""

    log_bytes: Reals
    psnr: Reals

    def level_of(self, log_bytes: float) -> float:
        """The level whose mean size this is, as far as the curve goes."""
        return float(np.interp(log_bytes, self.log_bytes.mean(0), LEVELS))

    def at(self, level: float) -> tuple[Reals, Reals]:
        """Sizes and PSNR (pictures,) at a level between those measured."""
        place = level * (len(LEVELS) - 1)
        left = min(int(place), len(LEVELS) - 2)
        weight = place - left
        mixed = (
            v[:, left] * (1 - weight) + v[:, left + 1] * weight for v in (self.log_bytes, self.psnr)
        )
        log_bytes, psnr = mixed
        return log_bytes, psnr


def measure(model: Slim, pictures: Sequence[Tensor]) -> dict[int, Curve]:
    """The curve of each width on the middles of ``pictures``, uint8 (3, H, W). ``model``: ready for coding."""
    crops = [_middle(picture) for picture in pictures]
    return {width: _measure_width(model, width, crops) for width in model.size.widths}


def find_schedule(
    curves: Mapping[int, Curve], kmac: Mapping[int, float], even: Sequence[int]
) -> Tensor:
    """The schedule, (widths, 3) as `vrcodec.models.slim` has it.

    ``kmac``: the work of each width. ``even``: first rate codes of the schedule whose mean work is not
    exceeded.
    """
    shares = np.diff([*even, RATE_CODE_MAX]) / RATE_CODE_MAX
    budget = float(np.dot(shares, [kmac[width] for width in curves]))
    waste = {width: _waste(curve, curves[max(curves)]) for width, curve in curves.items()}
    ends = _cheapest(waste, kmac, budget)
    return _joined(curves, ends)


def _measure_width(model: Slim, width: int, crops: Sequence[npt.NDArray[np.uint8]]) -> Curve:
    sizes, quality = [], []
    for crop in crops:
        latents = model.analysis(crop)
        for level in LEVELS:
            rate = model.width_state(round(level * RATE_CODE_MAX), width)
            streams = model.compress(latents, rate)
            decoded = model.decompress(streams, rate, crop.shape[1], crop.shape[0])
            sizes.append(np.log(sum(len(stream.data) for stream in streams)))
            quality.append(capped_psnr(crop, decoded))
    shape = len(crops), len(LEVELS)
    return Curve(np.reshape(sizes, shape), np.reshape(quality, shape))


def _middle(picture: Tensor) -> npt.NDArray[np.uint8]:
    top, left = (max(0, side - _CROP) // 2 for side in picture.shape[-2:])
    crop = picture[:, top : top + _CROP, left : left + _CROP]
    return np.ascontiguousarray(crop.permute(1, 2, 0).cpu().numpy())


def _sizes_at(rates: Reals, widest: Curve) -> Reals:
    """Mean logarithm of bytes that a rate is to have: that of the widest network."""
    return np.interp(rates, LEVELS, widest.log_bytes.mean(0))


def _waste(curve: Curve, widest: Curve) -> Reals:
    """At each of the rates: how many more bits than the widest for the same PSNR; infinite out of reach."""
    sizes, quality = curve.log_bytes.mean(0), curve.psnr.mean(0)
    needed = np.interp(quality, widest.psnr.mean(0), widest.log_bytes.mean(0))
    return np.interp(_sizes_at(_RATES, widest), sizes, sizes - needed, right=np.inf)


def _cheapest(waste: Mapping[int, Reals], kmac: Mapping[int, float], budget: float) -> list[float]:
    """The rate at which each width ends: least mean waste at no more than ``budget`` mean work."""
    low, high = 0.0, 1.0
    for _ in range(40):
        price = (low + high) / 2
        ends = _ends(waste, kmac, price)
        work = np.dot(np.diff([0.0, *ends]), list(kmac.values()))
        low, high = (price, high) if work > budget else (low, price)
    return _ends(waste, kmac, high)


def _ends(waste: Mapping[int, Reals], kmac: Mapping[int, float], price: float) -> list[float]:
    """The rates at which each width ends when work costs ``price`` in logarithms of bits."""
    costs = [waste[width] + price * kmac[width] for width in waste]
    # Whoever has been left is not come back to.
    best = np.maximum.accumulate(np.argmin(costs, axis=0))
    ends = [
        float(_RATES[best <= index][-1]) if (best <= index).any() else 0.0
        for index in range(len(costs))
    ]
    return [*ends[:-1], 1.0]


def _joined(curves: Mapping[int, Curve], ends: Sequence[float]) -> Tensor:
    """Levels at which widths begin and end, such that no picture steps back, and their shares of the rate."""
    widest = curves[max(curves)]
    levels: list[tuple[float, float]] = []
    lengths = []
    before: tuple[Reals, Reals] | None = None
    for curve, end in zip(curves.values(), ends, strict=True):
        low = _level_beyond(curve, before) if before else 0.0
        high = max(low, curve.level_of(float(_sizes_at(np.array(end), widest))))
        levels.append((low, high))
        lengths.append(float(np.diff([curve.at(level)[0].mean() for level in (low, high)])[0]))
        before = curve.at(high)
    firsts = np.cumsum([0.0, *lengths[:-1]]) / sum(lengths)
    rows = [[first, *pair] for first, pair in zip(firsts, levels, strict=True)]
    return torch.tensor(rows, dtype=torch.float64).mul(RATE_CODE_MAX).round().int()


def _level_beyond(curve: Curve, before: tuple[Reals, Reals]) -> float:
    """The lowest level at which every picture is larger and better than ``before``."""
    for level in np.linspace(0, 1, 1001):
        log_bytes, psnr = curve.at(level)
        larger = log_bytes - before[0] >= _BYTES_MARGIN
        better = psnr - before[1] >= _PSNR_MARGIN
        if np.all(larger & better):
            return float(level)
    return 1.0
