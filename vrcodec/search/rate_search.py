"""The rate code at which a value is what it should be: by forecasts, else by lines and bisection."""

from __future__ import annotations

from collections.abc import Callable

from vrcodec.rate import RATE_CODE_MAX, clipped_rate_code
from vrcodec.search.target import Goal

# A rate code and the value there.
RatePoint = tuple[int, float]
Forecast = Callable[[RatePoint, float], float | None]


def find_rate_code(
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
    below: RatePoint | None = None
    above: RatePoint | None = None
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


def _at_an_end(
    goal: Goal, below: RatePoint | None, above: RatePoint | None
) -> tuple[int, bool] | None:
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
    below: RatePoint | None,
    above: RatePoint | None,
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
    return clipped_rate_code(nearest[0] + stride * distance, low, high)
