"""Lambda scheduling: the search for the reach of each width of a slimmable model.

Yang et al., "Slimmable Compressive Autoencoders for Practical Neural Image Compression", CVPR 2021: with
one trade-off for all, narrow networks spend bits that a wider one makes more of. All widths begin with one.
Then, from the widest down, the lambda of a width and of all narrower ones is lowered, with a short training
behind each step, for as long as the slope of the rate-distortion curve between the width and the next wider
one falls. Where it rises, the width goes back to where it was least; then it is the next narrower one's turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vrcodec.models.families.slim import Slim
from vrcodec.models.networks.gains import KNOTS
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training.evaluation import Point, evaluate
from vrcodec.training.log import Record
from vrcodec.training.loop import Trainer

# Steps of training behind each change, as in the authors' code.
ROUND_STEPS = 20
# By which a reach is lowered: lambda is multiplied by 0.62 (0.8 in the authors' code).
REACH_STEP = 0.08
# Where all widths begin.
_FIRST_REACH = 1.0
_DIGITS = 4


@dataclass(frozen=True)
class Progress:
    """How far a search is. ``width``: the index of the one that is being lowered; -1 when the search is over.

    ``slope``: its least so far, None before the first measurement. ``next_step``: when to measure again.
    """

    width: int
    slope: float | None
    next_step: int


def begin_search(trainer: Trainer) -> None:
    """Give all widths of ``trainer`` one trade-off, and begin the search there."""
    widths = len(trainer.recipe.size.widths)
    move_reach(trainer, (_FIRST_REACH,) * widths)
    progress = Progress(widths - 2, None, trainer.position.step + ROUND_STEPS)
    trainer.search = asdict(progress)


def is_searching(trainer: Trainer) -> bool:
    """Whether ``trainer`` has begun a search that is not over."""
    return trainer.search is not None and Progress(**trainer.search).width >= 0


class ReachSearch:
    """Goes on with the search of a trainer each time it is called: behind each step, on every rank.

    ``pictures``, uint8 (3, H, W), held out: of rank 0. ``record``: gets a row for each width and measurement.
    """

    COLUMNS = ("step", "samples", "width", "reach", "bpp", "psnr", "slope", "searched")

    def __init__(
        self, pictures: Sequence[Tensor], record: Record | None, say: Callable[[str], None]
    ) -> None:
        self._pictures = pictures
        self._record = record
        self._say = say

    def __call__(self, trainer: Trainer) -> None:
        """Measure and decide, where a short training is over."""
        assert trainer.search is not None
        progress = Progress(**trainer.search)
        if progress.width < 0 or trainer.position.step < progress.next_step:
            return
        with trainer.whole_update():
            trainer.search = asdict(self._decide(trainer, progress))

    def _decide(self, trainer: Trainer, progress: Progress) -> Progress:
        width = progress.width
        slope = self._measure(trainer, width)[width]
        if has_turned(progress.slope, slope):
            _shift_reach(trainer, [width], REACH_STEP)
            width -= 1
            # Against the width that was just left where it was best; behind the last one, for the record alone.
            slope = self._measure(trainer, width)[max(width, 0)]
        step, size = trainer.position.step, trainer.recipe.size
        if width < 0 or min(size.reach) <= REACH_STEP:
            found = ", ".join(f"{w}: {r:g}" for w, r in zip(size.widths, size.reach, strict=True))
            self._say(f"step {step} the search for the reach of the widths is over: {found}")
            return Progress(-1, None, step)
        _shift_reach(trainer, range(width + 1), -REACH_STEP)
        return Progress(width, slope, step + ROUND_STEPS)

    def _measure(self, trainer: Trainer, searched: int) -> list[float]:
        """The slope between each width and the next wider one, narrow to wide, at the ends of their reaches."""
        points = trainer.group.broadcast(self._evaluate(trainer))
        slopes = [slope_between(*pair) for pair in pairwise(points)]
        if self._record:
            self._add_rows(self._record, trainer, points, slopes, searched)
        return slopes

    def _evaluate(self, trainer: Trainer) -> list[Point]:
        if trainer.group.rank:
            return []
        return evaluate(trainer.averaged_model(), self._pictures, trainer.device, levels=(1.0,))

    def _add_rows(
        self,
        record: Record,
        trainer: Trainer,
        points: Sequence[Point],
        slopes: Sequence[float],
        searched: int,
    ) -> None:
        position = trainer.position
        cells = [*(f"{slope:.3f}" for slope in slopes), ""]
        for index, (point, slope) in enumerate(zip(points, cells, strict=True)):
            figures = (point.width, point.rate, f"{point.bpp:.4f}", f"{point.psnr:.3f}", slope)
            record.add((position.step, position.samples, *figures, int(index == searched)))
        self._say(f"step {position.step} slopes {' '.join(cells[:-1])} dB a bit")


def slope_between(narrow: Point, wide: Point) -> float:
    """dB for each bit per pixel that the wider width adds; infinite where it needs no more bits."""
    bits = wide.bpp - narrow.bpp
    return (wide.psnr - narrow.psnr) / bits if bits > 0 else math.inf


def has_turned(least: float | None, slope: float) -> bool:
    """Whether ``slope`` is no better than the ``least`` so far; never while it is infinite."""
    return least is not None and math.isfinite(slope) and slope >= least


def _shift_reach(trainer: Trainer, indices: Iterable[int], shift: float) -> None:
    reach = list(trainer.recipe.size.reach)
    for index in indices:
        reach[index] = round(reach[index] + shift, _DIGITS)
    move_reach(trainer, reach)


@torch.no_grad()
def move_reach(trainer: Trainer, reach: Sequence[float]) -> None:
    """Set the reach of each width, which at a rate that it had before does the same.

    Gains between the old knots are interpolated. Moments of the optimizers stay as they are: in a step of the
    search, knots move by less than their distance.
    """
    model = trainer.model
    assert isinstance(model, Slim)
    factors = [new / old for new, old in zip(reach, model.size.reach, strict=True)]
    for width, factor in zip(model.size.widths, factors, strict=True):
        for name in (f"widths.{width}.log_gain", f"widths.{width}.log_inverse_gain"):
            for knots in (model.get_parameter(name), trainer.average.weights[name]):
                knots.copy_(stretch_knots(knots, factor))
    levels = (
        model.schedule[:, 1:] / model.schedule.new_tensor(factors, dtype=torch.float64)[:, None]
    )
    model.schedule[:, 1:] = levels.round().clamp(0, RATE_CODE_MAX).to(model.schedule.dtype)
    trainer.set_reach(reach)


def stretch_knots(knots: Tensor, factor: float) -> Tensor:
    """Knots (L, C) over [0, ``factor``] of the range of ``knots`` (L, C); they go straight on beyond it."""
    places = torch.linspace(0, factor * (KNOTS - 1), KNOTS, device=knots.device)
    left = places.floor().clamp(0, KNOTS - 2).long()
    weight = (places - left)[:, None]
    return torch.lerp(knots[left], knots[left + 1], weight)
