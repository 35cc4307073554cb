"""Files with quality maps that are not the same everywhere, beside files that have one rate.

As in the evaluation of Song et al., ICCV 2021, with maps that are fixed beforehand, and errors that count by
lambda of the level at their place, as in training. In its repository they depend on a picture's number in the
test set; here they are `SHAPES`. A rate moves all levels of a map alike, which multiplies all lambdas alike: so
the weights of a map are the same at every rate, and a file with one rate can be judged by them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vrcodec.bench.bdrate import bd_rate
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.maps.generation import ramp_map
from vrcodec.maps.levels import Levels, levels_per_pixel, map_from_levels
from vrcodec.models.trade_off import rate_to_lambda
from vrcodec.picture.picture import Picture

# Apart from the ends, where levels are cut off.
RATES = (0.3, 0.4, 0.5, 0.6, 0.7)
# Levels of a map lie so far around its middle.
_LOW, _HIGH = 0.3, 0.7
# Of the bump, in parts of the picture's sides.
_SIGMA = 0.25

Weights = npt.NDArray[np.float64]


def _bump(width: int, height: int) -> Levels:
    x, y = ((np.arange(side) + 0.5) / side - 0.5 for side in (width, height))
    return np.exp(-(x**2 + y[:, None] ** 2) / (2 * _SIGMA**2))


# From width and height to 0 .. 1, (height, width).
SHAPES: Mapping[str, Callable[[int, int], Levels]] = {
    "better to the right": ramp_map,
    "better to the bottom": lambda width, height: ramp_map(height, width).T,
    "better in the middle": _bump,
}


@dataclass(frozen=True)
class MapPoint:
    """Means over pictures at one rate: bits a pixel and weighted PSNR in dB, with the map and without it."""

    rate: float
    plain_bpp: float
    mapped_bpp: float
    plain_psnr: float
    mapped_psnr: float


@dataclass(frozen=True)
class MapResult:
    """One of `SHAPES`. ``bd_rate``: bits at equal weighted PSNR, against one rate everywhere, in per cent."""

    shape: str
    points: Sequence[MapPoint]
    bd_rate: float | None


def compare_maps(
    encoder: Encoder, decoder: Decoder, pictures: Sequence[Picture], rates: Sequence[float]
) -> list[MapResult]:
    """Every shape at every rate. Raises UsageError for a model that takes no maps."""
    plain = [[_round_trip(encoder, decoder, p, rate, None) for p in pictures] for rate in rates]
    results = []
    for name, make in SHAPES.items():
        maps = [_make_map(make, picture) for picture in pictures]
        points = []
        for rate, files in zip(rates, plain, strict=True):
            mapped = [
                _round_trip(encoder, decoder, picture, rate, qmap)
                for picture, qmap in zip(pictures, maps, strict=True)
            ]
            figures = [_score(*each) for each in zip(pictures, maps, files, mapped, strict=True)]
            points.append(MapPoint(rate, *np.mean(figures, axis=0).tolist()))
        results.append(MapResult(name, points, _bd_rate(points)))
    return results


def _make_map(make: Callable[[int, int], Levels], picture: Picture) -> QualityMap:
    levels = _LOW + (_HIGH - _LOW) * make(picture.width, picture.height)
    return map_from_levels(levels, picture.width, picture.height)


def _round_trip(
    encoder: Encoder, decoder: Decoder, picture: Picture, rate: float, qmap: QualityMap | None
) -> tuple[int, Picture]:
    """Bytes, and what they decode to."""
    data = encoder.encode(picture, RateSetting.from_rate(rate, qmap))
    return len(data), decoder.decode(data)


def _score(
    picture: Picture, qmap: QualityMap, plain: tuple[int, Picture], mapped: tuple[int, Picture]
) -> tuple[float, ...]:
    """The figures of a `MapPoint` for one picture."""
    pixels = picture.width * picture.height
    weights = levels_per_pixel(
        rate_to_lambda(qmap.cells / 255), picture.width, picture.height, qmap.stride
    )
    both = plain, mapped
    return (
        *(8 * size / pixels for size, _ in both),
        *(weighted_psnr(picture, decoded, weights) for _, decoded in both),
    )


def weighted_psnr(picture: Picture, decoded: Picture, weights: Weights) -> float:
    """PSNR in dB of the mean squared error by ``weights`` (H, W)."""
    errors = (picture.pixels.astype(float) - decoded.pixels) ** 2
    mean = np.average(errors.mean(axis=2), weights=weights)
    return float(10 * np.log10(255**2 / mean))


def _bd_rate(points: Sequence[MapPoint]) -> float | None:
    found = bd_rate(
        [p.plain_bpp for p in points],
        [p.plain_psnr for p in points],
        [p.mapped_bpp for p in points],
        [p.mapped_psnr for p in points],
    )
    return found.pchip if found else None
