"""How long a run goes on, and how its learning rate follows from that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vrcodec.errors import UsageError

# ``cosine``: a run of its own. ``constant``: a trunk, which never ends. ``decay``: a branch of a trunk.
Shape = Literal["cosine", "constant", "decay"]


@dataclass(frozen=True)
class Position:
    """How far a run has come. ``samples``: crops of all ranks together."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """A budget of ``minutes`` or ``steps``, and the ``shape`` of the learning rate over it.

    A trunk needs no budget; if it has one, that is of this process. ``pause_minutes`` ends this process
    earlier; the run is then resumed by another. Raises UsageError.
    """

    minutes: float | None = None
    steps: int | None = None
    pause_minutes: float | None = None
    shape: Shape = "cosine"

    def __post_init__(self) -> None:
        budgets = (self.minutes is not None) + (self.steps is not None)
        if budgets > 1 or (budgets == 0 and self.shape != "constant"):
            raise UsageError("give a budget in minutes or in steps, one of the two")

    def progress(self, begin: Position, now: Position) -> float:
        """Share of the budget that is used up between the two positions, from 0."""
        if self.steps is not None:
            return (now.step - begin.step) / self.steps
        if self.minutes is not None:
            return (now.seconds - begin.seconds) / (60 * self.minutes + 1e-9)
        return 0.0


def learning_rate_factor(
    shape: Shape, step: int, progress: float, warmup: int, final: float
) -> float:
    """Linear warm-up over ``warmup`` steps, times what ``shape`` says of ``progress`` (0 .. 1 of the budget).

    ``cosine`` ends at ``final``. ``decay`` is 1 - sqrt(progress), as Haegele et al., "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations" (NeurIPS 2024), section 3, found best.
    """
    progress = min(1.0, progress)
    factors = {
        "cosine": final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)),
        "constant": 1.0,
        "decay": 1 - math.sqrt(progress),
    }
    return min(1.0, (step + 1) / warmup) * factors[shape]
