"""Calibrating probability tables to the residuals of training pictures.

In training the residual of y is modelled as Gaussian, with the scale that the prior predicts. In fact it is a
mixture: where the prediction is wrong the residual is larger or smaller, so its distribution has a sharper
peak and heavier tails. Each table is therefore a mixture of Gaussians around its scale, with weights fitted to
the symbols of training pictures. It costs nothing at coding time: tables are tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.tables import (
    SCALE_COUNT,
    TableSet,
    gaussian_pmf,
    stack_tables,
    table_scale,
    trim_pmf,
)
from vrcodec.models import GuardedModel
from vrcodec.models.device import torch_backend
from vrcodec.rate import RATE_CODE_MAX

# Scales of a table's mixture, relative to its own, in steps of the table grid (3/16 octave).
OFFSETS = (-12, -9, -6, -3, 0, 3, 6, 9, 12, 15, 21, 30)
# Pseudo-counts of the Gaussian itself in every table: rarely used tables stay close to it.
_PSEUDO_COUNT = 2000.0
# Floor of likelihoods in a division.
_MIN_LIKELIHOOD = 1e-200
_ITERATIONS = 200
# Symbols beyond this are counted as this; only scales far beyond those in use reach it.
MAX_RESIDUAL = 4096
_CROP = 512

Histogram = npt.NDArray[np.float64]


def calibrate_tables(
    model: GuardedModel, pictures: Sequence[Tensor], crops: int, seed: int
) -> TableSet:
    """Tables fitted to the symbols of ``model`` on random crops at random rates.

    ``pictures`` are uint8 (3, H, W). ``model`` is unchanged.
    """
    return fit_tables(collect_histogram(deepcopy(model), pictures, crops, seed))


def collect_histogram(
    model: GuardedModel, pictures: Sequence[Tensor], crops: int, seed: int
) -> Histogram:
    """Counts of each symbol (-4096 .. 4096) in each table (row). Prepares ``model`` for coding."""
    random = np.random.default_rng(seed)
    counts = np.zeros((SCALE_COUNT, 2 * MAX_RESIDUAL + 1))
    model.prepare(torch_backend())
    for _ in range(crops):
        picture = pictures[random.integers(len(pictures))]
        top, left = (random.integers(max(1, side - _CROP)) for side in picture.shape[-2:])
        crop = picture[:, top : top + _CROP, left : left + _CROP]
        latents = model.analyse(crop.permute(1, 2, 0).contiguous().cpu().numpy())
        rate = model.rate_parameters(int(random.integers(RATE_CODE_MAX + 1)))
        for coded in model.coded_blocks(latents, rate):
            for symbols, t in coded.steps:
                tables = round_to_table(t, SCALE_COUNT)
                np.add.at(
                    counts,
                    (tables, np.clip(symbols, -MAX_RESIDUAL, MAX_RESIDUAL) + MAX_RESIDUAL),
                    1,
                )
    return counts


def fit_tables(counts: Histogram) -> TableSet:
    """One table a row: the mixture under which the row's counts are most probable."""
    return stack_tables([_fit_table(row, index) for index, row in enumerate(counts)])


@cache
def _gaussian(index: int) -> npt.NDArray[np.float64]:
    """The Gaussian of a scale of the table grid, or beyond it. Cached: tables share most of them."""
    return gaussian_pmf(table_scale(index), MAX_RESIDUAL)


def _fit_table(counts: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.int64]:
    components = np.array([_gaussian(index + k) for k in OFFSETS])
    gaussian = components[OFFSETS.index(0)]
    # Tables are symmetric: a residual's sign carries nothing.
    target = 0.5 * (counts + counts[::-1]) + _PSEUDO_COUNT * gaussian
    used = target > 0
    likelihoods, target = components[:, used], target[used]
    weights = np.where(np.array(OFFSETS) == 0, 1.0, 1 / len(OFFSETS))
    weights /= weights.sum()
    for _ in range(_ITERATIONS):
        # Expectation maximisation of the weights alone: concave, so it finds the maximum.
        mixture = np.maximum(weights @ likelihoods, _MIN_LIKELIHOOD)
        weights = weights * (likelihoods @ (target / mixture)) / target.sum()
        # The sum is below 1 where a residual has no probability in any component.
        weights /= weights.sum()
    return trim_pmf(weights @ components)
