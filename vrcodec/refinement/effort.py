"""How much time the encoder may spend on a file, once, for fewer bits for ever."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from vrcodec.errors import UsageError

Tune = Literal["psnr", "msssim"]

# Steps of the search for better latents at each level.
STEPS = (0, 2, 3, 6, 12, 24, 48, 96, 192, 384)
MAX_EFFORT = len(STEPS) - 1


@dataclass(frozen=True)
class Effort:
    """``level`` 0 (what the networks say) .. 9, or ``seconds`` that encoding a picture may take in its place.

    ``tune``: the quality to aim at.
    """

    level: int = 0
    seconds: float | None = None
    tune: Tune = "psnr"

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_EFFORT:
            raise UsageError(f"an effort is 0 to {MAX_EFFORT}, and {self.level} is not")
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise UsageError(f"{self.seconds:g} seconds is no time to spend")
        if self.tune not in get_args(Tune):
            raise UsageError(f"tune for {' or '.join(get_args(Tune))}, not {self.tune!r}")

    @property
    def searches(self) -> bool:
        """Whether there is anything to do beyond the plain pass."""
        return self.level > 0 or self.seconds is not None


NO_EFFORT = Effort()


@dataclass
class Watch:
    """Who looks on while a file is searched for.

    ``advance`` is told what share, 0 .. 1, is done. With ``keep_partial`` a KeyboardInterrupt ends the search
    with the best that there is, and ``interrupted`` says so.
    """

    advance: Callable[[float], None] = lambda share: None
    keep_partial: bool = False
    interrupted: bool = False
