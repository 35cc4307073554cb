"""Fitting the integers of an `ActivityPrior` to the symbols of training pictures.

In training, a density is learned from noisy latents, channel by channel. Here symbols are counted by rate, by
the activity of their decoded neighbourhood, and by channel; each cell gets the table that codes its symbols in
the fewest bits, and each table the distribution of the symbols that use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vrcodec.bitstream.rans import Symbols
from vrcodec.bitstream.tables import SCALE_COUNT, TOTAL, TableSet, gaussian_tables
from vrcodec.kernels import kernels_of
from vrcodec.models.coding.activity import ACTIVITY_CLASSES, RATE_LEVELS, WEIGHT_BITS, ActivityPrior
from vrcodec.models.families.slim import Slim
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.grid import LatentGrid
from vrcodec.training.calibration import MAX_RESIDUAL, fit_tables

Counts = npt.NDArray[np.float64]

_CROP = 512
# Symbols beyond this are counted as this.
_MAX_SYMBOL = 256
# Weights of the counts of neighbouring classes, and of the whole channel: some cells have no symbols.
_NEIGHBOUR_WEIGHT, _CHANNEL_WEIGHT = 0.02, 1e-4
_ROUNDS = 3
# Crops for the distribution of activity and the prediction from neighbours.
_BOUNDS_CROPS = 24


@torch.inference_mode()
def fit_prior(
    model: Slim, width: int, pictures: Sequence[Tensor], crops: int, seed: int
) -> ActivityPrior:
    """The prior of ``width``, fitted to random crops of uint8 pictures (3, H, W).

    ``model`` has a prior already, and is ready for coding; its prior is changed in place and returned.
    """
    prior = model.loaded_width(width).prior
    sample = _SymbolSampler(model, width, pictures, min(crops, _BOUNDS_CROPS), seed)
    _fit_weights(prior, sample)
    _fit_bounds(prior, sample)
    counts = _count_symbols(prior, _SymbolSampler(model, width, pictures, crops, seed + 1))
    _fit_choice(prior, counts)
    return prior


class _SymbolSampler:
    """Iterates over (index of the level, symbols (M, h, w)) of random crops, the same ones each time."""

    def __init__(
        self, model: Slim, width: int, pictures: Sequence[Tensor], crops: int, seed: int
    ) -> None:
        self._model, self._width, self._pictures = model, width, pictures
        self._crops, self._seed = crops, seed
        levels = (round(RATE_CODE_MAX * k / (RATE_LEVELS - 1)) for k in range(RATE_LEVELS))
        self._rates = [model.rate_parameters_at_width(level, width) for level in levels]

    def __iter__(self) -> Iterator[tuple[int, Symbols]]:
        random = np.random.default_rng(self._seed)
        for _ in range(self._crops):
            picture = self._pictures[random.integers(len(self._pictures))]
            top, left = (random.integers(max(1, side - _CROP)) for side in picture.shape[-2:])
            crop = picture[:, top : top + _CROP, left : left + _CROP]
            latents = self._model.analyse(crop.permute(1, 2, 0).contiguous().cpu().numpy())
            y = self._model.analyse_at_width(latents, self._width)
            for number, rate in enumerate(self._rates):
                yield number, self._model.quantise(y, rate)


def _fit_weights(prior: ActivityPrior, symbols: _SymbolSampler) -> None:
    """Weights of the prediction from the four neighbours, by least squares over all levels."""
    products, squares = np.zeros(len(prior.weights)), np.full(len(prior.weights), 1e-9)
    for _, latent in symbols:
        y = latent[prior.groups[0]].astype(np.float64)
        neighbours = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
        products += (y[:, 1:-1, 1:-1] * neighbours).sum((1, 2))
        squares += (neighbours**2).sum((1, 2))
    limit = 1 << WEIGHT_BITS
    weights = np.clip(np.rint(products / squares * limit), -limit, limit).astype(np.int16)
    prior.weights[:] = kernels_of(prior.weights).array(weights)


def _fit_bounds(prior: ActivityPrior, symbols: _SymbolSampler) -> None:
    """Bounds at which all classes of activity are equally frequent."""
    activities: dict[tuple[int, int], list[npt.NDArray[np.int32]]] = {}
    for level, latent in symbols:
        for number, part in enumerate(prior.passes(level, latent)):
            activities.setdefault((level, number), []).append(part.activity)
    shares = np.arange(1, ACTIVITY_CLASSES) / ACTIVITY_CLASSES
    for (level, number), values in activities.items():
        bounds = np.quantile(np.concatenate(values), shares, method="higher")
        prior.bounds[level, number] = kernels_of(prior.bounds).array(bounds.astype(np.int32))


def _count_symbols(prior: ActivityPrior, symbols: _SymbolSampler) -> Counts:
    """Counts of symbols: (RATE_LEVELS, ACTIVITY_CLASSES, M, 2 * _MAX_SYMBOL + 1)."""
    size = 2 * _MAX_SYMBOL + 1
    counts = np.zeros((RATE_LEVELS, ACTIVITY_CLASSES, prior.channels, size), np.float32)
    for level, latent in symbols:
        for block in LatentGrid(*latent.shape[-2:]).blocks():
            block_symbols = np.ascontiguousarray(latent[block.slices])
            for part in prior.passes(level, block_symbols):
                values = block_symbols[part.channels][:, part.mask] - part.prediction
                _add_counts(counts[level, :, part.channels], part.classes, values)
    return counts.astype(np.float64)


def _add_counts(
    counts: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], values: Symbols
) -> None:
    """Add ``values`` (C, n) of ``classes`` (n,) to ``counts`` (ACTIVITY_CLASSES, C, size) in place."""
    channels, size = counts.shape[1:]
    entries = np.clip(values, -_MAX_SYMBOL, _MAX_SYMBOL) + _MAX_SYMBOL
    cells = (classes * channels)[None] + np.arange(channels)[:, None]
    flat = np.bincount((cells * size + entries).reshape(-1), minlength=counts.size)
    counts += flat.reshape(counts.shape).astype(np.float32)


def _fit_choice(prior: ActivityPrior, counts: Counts) -> None:
    """Alternate between the cheapest table of every cell and the distribution of every table."""
    smoothed = counts.copy()
    smoothed[:, 1:] += _NEIGHBOUR_WEIGHT * counts[:, :-1]
    smoothed[:, :-1] += _NEIGHBOUR_WEIGHT * counts[:, 1:]
    smoothed += _CHANNEL_WEIGHT * counts.sum(axis=1, keepdims=True)
    tables = gaussian_tables()
    for _ in range(_ROUNDS):
        choice = np.argmin(smoothed @ _code_lengths(tables).T, axis=-1)
        tables = fit_tables(_pool_by_table(counts, choice))
    prior.choice[:] = kernels_of(prior.choice).array(choice.astype(np.uint8))
    prior.freeze_tables(tables)


def _pool_by_table(counts: Counts, choice: npt.NDArray[np.int64]) -> Counts:
    """Symbols of the cells that use each table, a row for each, for `fit_tables`."""
    pooled = np.zeros((SCALE_COUNT, 2 * MAX_RESIDUAL + 1))
    middle = slice(MAX_RESIDUAL - _MAX_SYMBOL, MAX_RESIDUAL + _MAX_SYMBOL + 1)
    for table in range(SCALE_COUNT):
        pooled[table, middle] = counts[choice == table].sum(axis=0)
    return pooled


def _code_lengths(tables: TableSet) -> Counts:
    """Bits of each symbol by each table, (SCALE_COUNT, 2 * _MAX_SYMBOL + 1); of an escape with its value."""
    bits = np.empty((len(tables), 2 * _MAX_SYMBOL + 1))
    magnitude = np.abs(np.arange(-_MAX_SYMBOL, _MAX_SYMBOL + 1))
    for number, row in enumerate(bits):
        lengths = -np.log2(tables.table(number) / TOTAL)
        half = len(lengths) // 2 - 1
        row[:] = lengths[-1] + 6 + 2 * np.log2(np.maximum(1, magnitude - half))
        reach = min(half, _MAX_SYMBOL)
        row[_MAX_SYMBOL - reach : _MAX_SYMBOL + reach + 1] = lengths[
            half - reach : half + reach + 1
        ]
    return bits
