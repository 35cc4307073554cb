"""Wide tensors split into increments, what each width adds to the one before: narrow ones need few of them.

The increment of a matrix has the shape of an L: new rows, and new columns of the rows before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Shapes = Sequence[torch.Size]


def split_increments(tensor: Tensor, shapes: Shapes) -> list[Tensor]:
    """Flat increments of ``tensor``, one for each of its leading ``shapes``, small to large."""
    return [
        torch.cat([tensor[slices].reshape(-1) for slices in regions])
        for regions in map(_increment_slices, _previous_shapes(shapes), shapes)
    ]


def join_increments(increments: Sequence[Tensor], shapes: Shapes) -> Tensor:
    """Inverse of `split_increments`, up to the last of ``shapes``: one for each of ``increments``."""
    whole = increments[0].new_empty(shapes[-1])
    for increment, previous, shape in zip(
        increments, _previous_shapes(shapes), shapes, strict=True
    ):
        windows = [whole[slices] for slices in _increment_slices(previous, shape)]
        pieces = torch.split(increment, [window.numel() for window in windows])
        for window, piece in zip(windows, pieces, strict=True):
            window.copy_(piece.view(window.shape))
    return whole


def _previous_shapes(shapes: Shapes) -> Shapes:
    return [torch.Size([0] * len(shapes[0])), *shapes[:-1]]


def _increment_slices(previous: torch.Size, shape: torch.Size) -> list[tuple[slice, ...]]:
    """Where ``shape`` goes beyond ``previous``: below it, and beside it."""
    below = (slice(previous[0], shape[0]), *map(slice, shape[1:]))
    if len(shape) == 1:
        return [below]
    beside = (slice(previous[0]), slice(previous[1], shape[1]), *map(slice, shape[2:]))
    return [below, beside]
