"""Which width a rate should have: a schedule found on pictures.

Yang et al. (CVPR 2021, section 4) move, for each width, the trade-off up to where the next width does better.
Here the widths are given half of the widest's work, on average over the rate; with it, the bits they waste
against the widest are made as few as can be. At a switch the level of the wider network is set so that on
no picture the file shrinks, or the quality falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.metrics import capped_psnr
from vrcodec.models.families.slim import Slim
from vrcodec.rate import RATE_CODE_MAX

Reals = npt.NDArray[np.float64]

LEVELS = np.linspace(0, 1, 17)
_CROP = 512
# At a switch, on every picture: so much larger in the logarithm of bytes, and so many dB better.
_BYTES_MARGIN = 0.005
_PSNR_MARGIN = 0.02
# Levels at which a width may begin.
_FINE = np.linspace(0, 1, 1001)
# Mean work over the rate, as a share of the widest's.
_WORK = 0.5
# Halvings of the range in which the price of work is looked for.
_HALVINGS = 30
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

    def at(self, level: float | Reals) -> tuple[Reals, Reals]:
        """Sizes and PSNR (pictures,) at a level between those measured, or (pictures, n) at n levels."""
        place = np.asarray(level) * (len(LEVELS) - 1)
        left = np.minimum(place.astype(int), len(LEVELS) - 2)
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


def find_schedule(curves: Mapping[int, Curve], kmac: Mapping[int, float]) -> Tensor:
    """The schedule, (widths, 3) as `vrcodec.models.families.slim` has it. ``kmac``: the work of each width."""
    waste = {width: _waste(curve, curves[max(curves)]) for width, curve in curves.items()}
    budget = _WORK * kmac[max(curves)]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        work = mean_work(_joined(curves, _ends(waste, kmac, price)), kmac)
        low, high = (price, high) if work > budget else (low, price)
    return _joined(curves, _ends(waste, kmac, high))


def mean_work(schedule: Tensor, kmac: Mapping[int, float]) -> float:
    """Of a schedule, over the rate: in the unit of ``kmac``, that of each width."""
    shares = np.diff([*schedule[:, 0].tolist(), RATE_CODE_MAX]) / RATE_CODE_MAX
    return float(np.dot(shares, [kmac[width] for width in sorted(kmac)]))


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
    # Where nothing has been learnt yet, files may be of one size at all levels.
    total = sum(lengths)
    firsts = np.cumsum([0.0, *lengths[:-1]]) / total if total > 0 else [0.0, *ends[:-1]]
    rows = [[first, *pair] for first, pair in zip(firsts, levels, strict=True)]
    return torch.tensor(rows, dtype=torch.float64).mul(RATE_CODE_MAX).round().int()


def _level_beyond(curve: Curve, before: tuple[Reals, Reals]) -> float:
    """The lowest level at which every picture is larger and better than ``before``."""
    log_bytes, psnr = curve.at(_FINE)
    larger = log_bytes - before[0][:, None] >= _BYTES_MARGIN
    better = psnr - before[1][:, None] >= _PSNR_MARGIN
    beyond = np.all(larger & better, axis=0)
    return float(_FINE[beyond.argmax()]) if beyond.any() else 1.0
