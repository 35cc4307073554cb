"""Wide tensors cut into what each width adds to the one before: a width then needs the first parts only.

Of a matrix, a part has the shape of an L: new rows, and new columns of the rows before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Shapes = Sequence[torch.Size]


def cut(tensor: Tensor, shapes: Shapes) -> list[Tensor]:
    """Flat parts of ``tensor``, one for each of its leading ``shapes``, small to large."""
    return [
        torch.cat([tensor[place].reshape(-1) for place in places])
        for places in map(_places, _before(shapes), shapes)
    ]


def join(parts: Sequence[Tensor], shapes: Shapes) -> Tensor:
    """The leading part of the last of ``shapes``, of which there are as many as ``parts``."""
    whole = parts[0].new_empty(shapes[-1])
    for part, before, shape in zip(parts, _before(shapes), shapes, strict=True):
        windows = [whole[place] for place in _places(before, shape)]
        pieces = torch.split(part, [window.numel() for window in windows])
        for window, piece in zip(windows, pieces, strict=True):
            window.copy_(piece.view(window.shape))
    return whole


def _before(shapes: Shapes) -> Shapes:
    return [torch.Size([0] * len(shapes[0])), *shapes[:-1]]


def _places(before: torch.Size, shape: torch.Size) -> list[tuple[slice, ...]]:
    """Where ``shape`` goes beyond ``before``: below it, and beside it."""
    below = (slice(before[0], shape[0]), *map(slice, shape[1:]))
    if len(shape) == 1:
        return [below]
    beside = (slice(before[0]), slice(before[1], shape[1]), *map(slice, shape[2:]))
    return [below, beside]
