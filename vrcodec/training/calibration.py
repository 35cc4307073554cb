"""Tables from what residuals really are like.

In training the residual of y is Gaussian, with the scale that the prior predicts. Really it is a mixture:
where the prediction is wrong the residual is larger or smaller, so its distribution has a sharper peak
and heavier tails. Each table is therefore a mixture of Gaussians around its scale, with weights fitted to
the symbols of training pictures. It costs nothing at coding time: tables are tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.tables import (
    SCALE_COUNT,
    TableSet,
    gaussian_pmf,
    scale_of,
    stack_tables,
    trimmed_table,
)
from vrcodec.models import Guarded
from vrcodec.rate import RATE_CODE_MAX

# Scales of a table's mixture, relative to its own, in steps of the table grid (3/16 octave).
OFFSETS = (-12, -9, -6, -3, 0, 3, 6, 9, 12, 15, 21, 30)
# Symbols that a table is taken to have seen from the Gaussian itself: rare tables stay close to it.
_PRIOR_COUNT = 2000.0
# What stands for a likelihood of 0 in a division.
_IMPOSSIBLE = 1e-200
_ITERATIONS = 200
# Symbols beyond this are counted at the end; only scales far outside of use reach it.
REACH = 4096
_CROP = 512

Histogram = npt.NDArray[np.float64]


def calibrated_tables(
    model: Guarded, pictures: Sequence[Tensor], crops: int, seed: int
) -> TableSet:
    """Tables for the symbols that ``model`` makes of random crops at random rates.

    ``pictures`` are uint8 (3, H, W). The model is left as it was.
    """
    return fit_tables(collect_histogram(deepcopy(model), pictures, crops, seed))


def collect_histogram(
    model: Guarded, pictures: Sequence[Tensor], crops: int, seed: int
) -> Histogram:
    """How often each table (row) met each symbol (-4096 .. 4096). Prepares ``model`` for coding."""
    random = np.random.default_rng(seed)
    counts = np.zeros((SCALE_COUNT, 2 * REACH + 1))
    model.prepare(torch.device("cpu"))
    for _ in range(crops):
        picture = pictures[random.integers(len(pictures))]
        top, left = (random.integers(max(1, side - _CROP)) for side in picture.shape[-2:])
        crop = picture[:, top : top + _CROP, left : left + _CROP]
        latents = model.analysis(crop.permute(1, 2, 0).contiguous().cpu().numpy())
        rate = model.rate_state(int(random.integers(RATE_CODE_MAX + 1)))
        for coded in model.coded_blocks(latents, rate):
            for symbols, t in coded.steps:
                tables = round_to_table(t, SCALE_COUNT)
                np.add.at(counts, (tables, np.clip(symbols, -REACH, REACH) + REACH), 1)
    return counts


def fit_tables(counts: Histogram) -> TableSet:
    """One table a row: the mixture under which the row's counts are most probable."""
    return stack_tables([_fit_table(row, index) for index, row in enumerate(counts)])


@cache
def _component(index: int) -> npt.NDArray[np.float64]:
    """The Gaussian of a table's scale, or of one beyond those of the tables. Tables share most of them."""
    return gaussian_pmf(scale_of(index), REACH)


def _fit_table(counts: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.int64]:
    components = np.array([_component(index + k) for k in OFFSETS])
    own = components[OFFSETS.index(0)]
    # Tables are symmetric: a residual's sign carries nothing.
    target = 0.5 * (counts + counts[::-1]) + _PRIOR_COUNT * own
    used = target > 0
    likelihoods, target = components[:, used], target[used]
    weights = np.where(np.array(OFFSETS) == 0, 1.0, 1 / len(OFFSETS))
    weights /= weights.sum()
    for _ in range(_ITERATIONS):
        # Expectation maximisation of the weights alone: concave, so it finds the maximum.
        mixture = np.maximum(weights @ likelihoods, _IMPOSSIBLE)
        weights = weights * (likelihoods @ (target / mixture)) / target.sum()
        # Less than 1 where there are residuals that no component has a place for.
        weights /= weights.sum()
    return trimmed_table(weights @ components)
