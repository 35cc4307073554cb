"""Decoded latents, a few rows of blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vrcodec.regions.grid import Block
from vrcodec.regions.window import common, cut, within


class ScrollingLatents:
    """y_hat of blocks that are decoded when they are wanted, and forgotten when they lie above what is.

    ``decoded``: blocks row by row, and y_hat of each, (1, M, h, w).
    """

    def __init__(self, decoded: Iterator[tuple[Block, Tensor]]) -> None:
        self._decoded = decoded
        self._kept: list[tuple[Block, Tensor]] = []

    def window(self, area: Block) -> Tensor:
        """y_hat in ``area``, (1, M, h, w), channels last. No call may ask for rows above the last one's."""
        self._kept = [(block, y_hat) for block, y_hat in self._kept if block.bottom > area.top]
        while not self._kept or not _reaches(self._kept[-1][0], area):
            self._kept.append(next(self._decoded))
        _, some = self._kept[0]
        window = empty_like(some, *area.size)
        for block, y_hat in self._kept:
            both = common(block, area)
            if both.top < both.bottom and both.left < both.right:
                cut(window, within(both, area)).copy_(cut(y_hat, within(both, block)))
        return window


def empty_like(x: Tensor, height: int, width: int) -> Tensor:
    """(B, C, ``height``, ``width``), channels last, for samples such as those of ``x``."""
    shape = (*x.shape[:2], height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _reaches(block: Block, area: Block) -> bool:
    """Whether nothing of ``area`` comes behind ``block``."""
    return block.bottom >= area.bottom and block.right >= area.right
