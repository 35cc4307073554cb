"""Which blocks of y and which samples of z a region of a picture needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vrcodec.regions.grid import BLOCK, HYPER_STRIDE, STRIDE, Block, LatentGrid
from vrcodec.regions.region import WHOLE, Rectangle, Region
from vrcodec.regions.window import expand, intersect, scale_up

# Samples of z on each side that the hyper-synthesis sees.
HYPER_HALO = 2


@dataclass(frozen=True)
class DecodePlan:
    """What to decode of ``grid`` to show ``pixel_area`` of the picture at 1/``scale``.

    ``halo``: samples of y that the synthesis sees on each side.
    """

    grid: LatentGrid
    pixel_area: Rectangle
    scale: int
    halo: int

    @staticmethod
    def of_picture(width: int, height: int, halo: int, region: Region = WHOLE) -> DecodePlan:
        """The plan for a ``region`` of a picture. Raises UsageError when that is beyond it."""
        grid = LatentGrid.of_picture(width, height)
        return DecodePlan(grid, region.rectangle(width, height), region.scale, halo)

    @property
    def latent_size(self) -> tuple[int, int]:
        """(h, w) of y."""
        return self.grid.height, self.grid.width

    @property
    def latent_area(self) -> Block:
        """The samples of y whose pixels are shown."""
        return _latents_of(self.pixel_area)

    @staticmethod
    def of_grid(grid: LatentGrid) -> DecodePlan:
        """The plan for all of ``grid``, without a halo."""
        return DecodePlan(grid, Rectangle(0, 0, STRIDE * grid.width, STRIDE * grid.height), 1, 0)

    def blocks(self) -> list[tuple[int, Block]]:
        """Numbers and blocks that the synthesis of `latent_area` sees, in the order of their streams."""
        return list(self._blocks_in(expand(self.latent_area, self.halo, self.latent_size)))

    def block_runs(self, length: int) -> Iterator[list[tuple[int, Block]]]:
        """`blocks` in runs of at most ``length`` that lie side by side."""
        for _, group in groupby(self.blocks(), lambda numbered: numbered[1].top):
            row = list(group)
            yield from (row[start : start + length] for start in range(0, len(row), length))

    def hyper_blocks(self) -> list[tuple[int, Block]]:
        """Numbers and blocks whose z the hyper-synthesis needs for `blocks`."""
        window = self.hyper_window([block for _, block in self.blocks()])
        return list(self._blocks_in(intersect(scale_up(window, HYPER_STRIDE), self.grid.whole)))

    def hyper_window(self, blocks: Sequence[Block]) -> Block:
        """The samples of z that the hyper-synthesis sees for ``blocks``, which make a rectangle."""
        first, last = blocks[0].hyper(), blocks[-1].hyper()
        covered = Block(first.top, last.bottom, first.left, last.right)
        return expand(covered, HYPER_HALO, (self.grid.hyper_height, self.grid.hyper_width))

    def _blocks_in(self, area: Block) -> Iterator[tuple[int, Block]]:
        """Numbers and blocks that have samples of y in ``area``."""
        across = -(-self.grid.width // BLOCK)
        for row in range(area.top // BLOCK, -(-area.bottom // BLOCK)):
            for column in range(area.left // BLOCK, -(-area.right // BLOCK)):
                yield row * across + column, self.grid.block(row, column)


def _latents_of(pixels: Rectangle) -> Block:
    """The samples of y that cover ``pixels``."""
    return Block(
        pixels.top // STRIDE,
        -(-pixels.bottom // STRIDE),
        pixels.left // STRIDE,
        -(-pixels.right // STRIDE),
    )
