"""One-dimensional search for the rate code of a target: by forecasts, else regula falsi and bisection."""

from __future__ import annotations

from collections.abc import Callable

from vrcodec.rate import RATE_CODE_MAX, clip_rate_code
from vrcodec.search.target import TargetBand

# A rate code and the value there.
RatePoint = tuple[int, float]
Forecast = Callable[[RatePoint, float], float | None]


def find_rate_code(
    value: Callable[[int], float],
    band: TargetBand,
    forecast: Forecast = lambda *_: None,
    first_code: int | None = None,
    ends: tuple[int, int] = (0, RATE_CODE_MAX),
) -> tuple[int, bool]:
    """The code of a `RateAxis` whose ``value`` meets ``band`` best, and whether it meets the target.

    ``value`` should rise with the code. ``forecast``: from a known point and a value, the code of that value,
    or None, which leaves it to linear interpolation. ``first_code``: where to begin. ``ends``: the lowest and
    the highest code. Ends when a value lies in the band, or when two neighbouring codes lie on either side of
    it: then with the one that meets the target.
    """
    # The bracket: codes known to be too low and too high, with their values.
    below: RatePoint | None = None
    above: RatePoint | None = None
    slope, iteration = band.slope / RATE_CODE_MAX, 0
    code = band.expected_code if first_code is None else first_code
    while True:
        measured = value(code)
        if band.low <= measured <= band.high:
            return code, True
        if measured < band.low:
            below = code, measured
        else:
            above = code, measured
        result = _result_at_end(band, below, above, ends)
        if result:
            return result
        iteration += 1
        if below and above:
            slope = (above[1] - below[1]) / (above[0] - below[0])
        code = _next_code(band, below, above, slope, iteration, forecast, ends)


def _result_at_end(
    band: TargetBand,
    below: RatePoint | None,
    above: RatePoint | None,
    ends: tuple[int, int],
) -> tuple[int, bool] | None:
    """The result of the search when no code is left to try, else None."""
    if below and above:
        if above[0] - below[0] > 1:
            return None
        return (below[0] if band.ceiling else above[0]), True
    if below and below[0] == ends[1]:
        return below[0], band.ceiling
    if above and above[0] == ends[0]:
        return above[0], not band.ceiling
    return None


def _next_code(
    band: TargetBand,
    below: RatePoint | None,
    above: RatePoint | None,
    slope: float,
    iteration: int,
    forecast: Forecast,
    ends: tuple[int, int],
) -> int:
    """The code to try: where the band's centre is expected, every fourth time the middle of the bracket."""
    low = below[0] + 1 if below else ends[0]
    high = above[0] - 1 if above else ends[1]
    if below and above and (iteration % 4 == 0 or slope <= 0):
        return (low + high) // 2
    nearest = min(
        (point for point in (below, above) if point),
        key=lambda point: abs(point[1] - band.centre),
    )
    forecast_code = forecast(nearest, band.centre)
    # While only one side of the bracket is known, steps grow: the curve may be flatter than expected.
    patience = 2 if forecast_code is None else 4
    stride = 1.0 if below and above else 2.0 ** max(0, iteration - patience)
    distance = (
        (band.centre - nearest[1]) / slope if forecast_code is None else forecast_code - nearest[0]
    )
    return clip_rate_code(nearest[0] + stride * distance, low, high)
