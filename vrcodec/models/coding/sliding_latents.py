"""A sliding window over decoded latents: a few rows of blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator

from vrcodec.kernels import Array, kernels_of
from vrcodec.regions.grid import Block
from vrcodec.regions.window import crop_to, intersect, relative_to


class SlidingLatents:
    """y_hat of blocks that are decoded when a window needs them, and dropped when they lie above it.

    ``decoded``: blocks row by row, and y_hat of each, (1, M, h, w).
    """

    def __init__(self, decoded: Iterator[tuple[Block, Array]]) -> None:
        self._decoded = decoded
        self._kept: list[tuple[Block, Array]] = []

    def window(self, area: Block) -> Array:
        """y_hat in ``area``, (1, M, h, w), channels last. No call may ask for rows above the last one's."""
        self._kept = [(block, y_hat) for block, y_hat in self._kept if block.bottom > area.top]
        while not self._kept or not _reaches(self._kept[-1][0], area):
            self._kept.append(next(self._decoded))
        _, first = self._kept[0]
        window = kernels_of(first).empty(first, (*first.shape[:2], *area.size))
        for block, y_hat in self._kept:
            overlap = intersect(block, area)
            if overlap.top < overlap.bottom and overlap.left < overlap.right:
                part = crop_to(y_hat, relative_to(overlap, block))
                crop_to(window, relative_to(overlap, area))[:] = part
        return window


def _reaches(block: Block, area: Block) -> bool:
    """Whether ``block`` is the last, in raster order, that ``area`` needs."""
    return block.bottom >= area.bottom and block.right >= area.right
