"""Encoder effort: how much time to spend on refining the latents of a picture, for fewer bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from vrcodec.catalog import WeightsEntry
from vrcodec.errors import UsageError

Tune = Literal["psnr", "msssim", "ssimulacra2"]

# Steps of gradient descent on each block at each level.
STEPS = (0, 2, 3, 6, 12, 24, 48, 96, 192, 384)
MAX_EFFORT = len(STEPS) - 1


@dataclass(frozen=True)
class Effort:
    """``level`` 0 (no refinement) .. 9, or ``seconds`` that encoding a picture may take in its place.

    ``tune``: the quality metric to optimise.
    """

    level: int = 0
    seconds: float | None = None
    tune: Tune = "psnr"

    def __post_init__(self) -> None:
        if not (isinstance(self.level, int) and 0 <= self.level <= MAX_EFFORT):
            raise UsageError(f"an effort is 0 to {MAX_EFFORT}, and {self.level} is not")
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise UsageError(f"{self.seconds:g} seconds is no time to spend")
        if self.tune not in get_args(Tune):
            raise UsageError(f"tune for {', '.join(get_args(Tune))}, not {self.tune!r}")

    @property
    def searches(self) -> bool:
        """Whether latents are refined after the plain pass."""
        return self.level > 0 or self.seconds is not None


NO_EFFORT = Effort()


def choose_effort(
    level: int, seconds: float | None, tune: Tune | None, weights: WeightsEntry
) -> Effort:
    """The effort that aims at ``tune``, or else at what ``weights`` are tuned for.

    Raises UsageError where neither a search nor the weights aim at ``tune``.
    """
    effort = Effort(level, seconds, tune or cast(Tune, weights.tune))
    if tune and not effort.searches and weights.tune != tune:
        raise UsageError(
            f"no weights of {weights.family} are tuned for {tune}; a search can aim at it, "
            "with an effort above 0"
        )
    return effort


@dataclass
class SearchMonitor:
    """Progress and interruption of a search.

    ``on_progress`` is called with the share, 0 .. 1, that is done. With ``keep_partial`` a KeyboardInterrupt
    ends the search with the best result so far, and sets ``interrupted``.
    """

    on_progress: Callable[[float], None] = lambda share: None
    keep_partial: bool = False
    interrupted: bool = False
