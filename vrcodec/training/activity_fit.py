"""The integers of an `ActivityPrior`, from what symbols really are.

A density is learned from noisy latents, channel by channel. Then symbols of training pictures are
counted: by the rate, by how busy what a decoder knows around them is, and by channel; each cell gets the
table that codes its symbols in the fewest bits, and each table the shape of the symbols that use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.bitstream.rans import Symbols
from vrcodec.bitstream.tables import SCALE_COUNT, TOTAL, TableSet, gaussian_tables
from vrcodec.models.coding.activity import CLASSES, LEVELS, WEIGHT_BITS, ActivityPrior
from vrcodec.models.coding.factorized import all_blocks
from vrcodec.models.families.slim import Slim
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.grid import LatentGrid
from vrcodec.training.calibration import REACH, fit_tables

Counts = npt.NDArray[np.float64]

_CROP = 512
# Symbols beyond this are counted at the end.
_WIDEST = 256
# Each cell also learns from its neighbours, and a little from the whole channel: some have met nothing.
_FROM_BESIDE, _FROM_CHANNEL = 0.02, 1e-4
_ROUNDS = 3
# Enough to know how activity is distributed, and how values follow their neighbours.
_LOOKS = 24


@torch.inference_mode()
def fit_prior(
    model: Slim, width: int, pictures: Sequence[Tensor], crops: int, seed: int
) -> ActivityPrior:
    """The prior of ``width``, fitted to random crops of uint8 pictures (3, H, W).

    ``model`` has a prior already, and is ready for coding; its prior is changed in place and returned.
    """
    prior = model.own(width).prior
    looks = _Symbols(model, width, pictures, min(crops, _LOOKS), seed)
    _fit_weights(prior, looks)
    _fit_bounds(prior, looks)
    counts = _count(prior, _Symbols(model, width, pictures, crops, seed + 1))
    _fit_choice(prior, counts)
    return prior


class _Symbols:
    """Iterates over (number of a level, symbols (M, h, w)) of random crops."""

    def __init__(
        self, model: Slim, width: int, pictures: Sequence[Tensor], crops: int, seed: int
    ) -> None:
        self._model, self._width, self._pictures = model, width, pictures
        self._crops, self._seed = crops, seed
        levels = (round(RATE_CODE_MAX * k / (LEVELS - 1)) for k in range(LEVELS))
        self._rates = [model.width_state(level, width) for level in levels]

    def __iter__(self) -> Iterator[tuple[int, Symbols]]:
        random = np.random.default_rng(self._seed)
        for _ in range(self._crops):
            picture = self._pictures[random.integers(len(self._pictures))]
            top, left = (random.integers(max(1, side - _CROP)) for side in picture.shape[-2:])
            crop = picture[:, top : top + _CROP, left : left + _CROP]
            latents = self._model.analysis(crop.permute(1, 2, 0).contiguous().cpu().numpy())
            y = self._model.narrow_analysis(latents, self._width)
            for number, rate in enumerate(self._rates):
                yield number, self._model.quantise(y, rate)


def _fit_weights(prior: ActivityPrior, symbols: _Symbols) -> None:
    """What neighbours say of a value, by least squares over all levels."""
    products, squares = np.zeros(len(prior.weights)), np.full(len(prior.weights), 1e-9)
    for _, found in symbols:
        own = found[prior.groups[0]].astype(np.float64)
        seen = own[:, :-2, 1:-1] + own[:, 2:, 1:-1] + own[:, 1:-1, :-2] + own[:, 1:-1, 2:]
        products += (own[:, 1:-1, 1:-1] * seen).sum((1, 2))
        squares += (seen**2).sum((1, 2))
    weights = torch.from_numpy(np.rint(products / squares * (1 << WEIGHT_BITS)))
    prior.weights.copy_(weights.clamp(-(1 << WEIGHT_BITS), 1 << WEIGHT_BITS))


def _fit_bounds(prior: ActivityPrior, symbols: _Symbols) -> None:
    """Bounds of classes that are met equally often."""
    seen: dict[tuple[int, int], list[npt.NDArray[np.int32]]] = {}
    for level, own in symbols:
        for number, part in enumerate(prior.passes(level, own)):
            seen.setdefault((level, number), []).append(part.activity)
    shares = np.arange(1, CLASSES) / CLASSES
    for (level, number), found in seen.items():
        bounds = np.quantile(np.concatenate(found), shares, method="higher")
        prior.bounds[level, number] = torch.from_numpy(bounds.astype(np.int32))


def _count(prior: ActivityPrior, symbols: _Symbols) -> Counts:
    """How often each symbol was met: (LEVELS, CLASSES, M, 2 * _WIDEST + 1)."""
    size = 2 * _WIDEST + 1
    counts = np.zeros((LEVELS, CLASSES, prior.channels, size), np.float32)
    for level, found in symbols:
        for block in all_blocks(LatentGrid(*found.shape[-2:])):
            own = np.ascontiguousarray(found[block.window])
            for part in prior.passes(level, own):
                values = own[part.channels][:, part.where] - part.prediction
                _add(counts[level, :, part.channels], part.classes, values)
    return counts.astype(np.float64)


def _add(counts: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], values: Symbols) -> None:
    """Values (C, n) of places whose classes (n,) are known, into counts (CLASSES, C, size)."""
    channels, size = counts.shape[1:]
    entries = np.clip(values, -_WIDEST, _WIDEST) + _WIDEST
    cells = (classes * channels)[None] + np.arange(channels)[:, None]
    flat = np.bincount((cells * size + entries).reshape(-1), minlength=counts.size)
    counts += flat.reshape(counts.shape).astype(np.float32)


def _fit_choice(prior: ActivityPrior, counts: Counts) -> None:
    """The cheapest table of every cell, and the shape of every table, in turns."""
    shared = counts.copy()
    shared[:, 1:] += _FROM_BESIDE * counts[:, :-1]
    shared[:, :-1] += _FROM_BESIDE * counts[:, 1:]
    shared += _FROM_CHANNEL * counts.sum(axis=1, keepdims=True)
    tables = gaussian_tables()
    for _ in range(_ROUNDS):
        choice = np.argmin(shared @ _bits(tables).T, axis=-1)
        tables = fit_tables(_by_table(counts, choice))
    prior.choice.copy_(torch.from_numpy(choice.astype(np.uint8)))
    prior.freeze_tables(tables)


def _by_table(counts: Counts, choice: npt.NDArray[np.int64]) -> Counts:
    """Symbols of the cells that have chosen each table, as `fit_tables` wants them."""
    found = np.zeros((SCALE_COUNT, 2 * REACH + 1))
    middle = slice(REACH - _WIDEST, REACH + _WIDEST + 1)
    for table in range(SCALE_COUNT):
        found[table, middle] = counts[choice == table].sum(axis=0)
    return found


def _bits(tables: TableSet) -> Counts:
    """What each table takes for a symbol, (SCALE_COUNT, 2 * _WIDEST + 1); for an escape and its value, too."""
    bits = np.empty((len(tables), 2 * _WIDEST + 1))
    magnitude = np.abs(np.arange(-_WIDEST, _WIDEST + 1))
    for number, row in enumerate(bits):
        own = -np.log2(tables.table(number) / TOTAL)
        half = len(own) // 2 - 1
        row[:] = own[-1] + 6 + 2 * np.log2(np.maximum(1, magnitude - half))
        reach = min(half, _WIDEST)
        row[_WIDEST - reach : _WIDEST + reach + 1] = own[half - reach : half + reach + 1]
    return bits
