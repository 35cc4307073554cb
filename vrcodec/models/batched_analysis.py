"""Analysis of many pictures in batches of one size; a GPU copies a batch while it analyses the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from vrcodec.models.base import Latents, Pixels, VariableRateModel

# Larger batches gain nothing, and features take 110 bytes a pixel.
_MAX_BATCH_PIXELS = 1 << 23


def analyse_in_batches(model: VariableRateModel, pictures: Sequence[Pixels]) -> list[Latents]:
    """The latents of ``pictures``, (H, W, 3) uint8 of any sizes, in their order."""
    latents: dict[int, Latents] = {}
    batches = list(_batches(pictures))
    backend = model.backend
    stacks = (np.moveaxis(np.stack([pictures[k] for k in batch]), -1, 1) for batch in batches)
    for batch, x in zip(batches, backend.kernels.upload(stacks, backend.device), strict=True):
        latents.update(zip(batch, model.analyse_batch(x), strict=True))
    return [latents[k] for k in range(len(pictures))]


def _batches(pictures: Sequence[Pixels]) -> Iterator[list[int]]:
    """Indices of pictures of one size, batch by batch."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for k, picture in enumerate(pictures):
        by_shape[picture.shape].append(k)
    for (height, width, _), indices in by_shape.items():
        batch = max(1, _MAX_BATCH_PIXELS // (height * width))
        yield from (indices[k : k + batch] for k in range(0, len(indices), batch))
