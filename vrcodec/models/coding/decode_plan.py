"""From a view of a picture to what must be decoded for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vrcodec.regions.grid import BLOCK, HYPER_STRIDE, STRIDE, Block, LatentGrid
from vrcodec.regions.region import WHOLE, Rectangle, View
from vrcodec.regions.window import common, grown, scaled

# Samples of z on each side that its synthesis sees.
HYPER_HALO = 2


@dataclass(frozen=True)
class Plan:
    """``shown``, in pixels of the picture, is what it is about, at 1/``scale``.

    ``halo``: samples of y that the synthesis sees on each side.
    """

    grid: LatentGrid
    shown: Rectangle
    scale: int
    halo: int

    @staticmethod
    def of(width: int, height: int, halo: int, view: View = WHOLE) -> Plan:
        """For a ``view`` of a picture. Raises UsageError when that is beyond it."""
        grid = LatentGrid.of_picture(width, height)
        return Plan(grid, view.rectangle(width, height), view.scale, halo)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of y."""
        return self.grid.height, self.grid.width

    @property
    def area(self) -> Block:
        """The samples of y whose pixels are shown."""
        return _covering(self.shown, STRIDE)

    @staticmethod
    def of_all(grid: LatentGrid) -> Plan:
        """For all that there is in ``grid``."""
        return Plan(grid, Rectangle(0, 0, STRIDE * grid.width, STRIDE * grid.height), 1, 0)

    def blocks(self) -> list[tuple[int, Block]]:
        """The blocks that the synthesis of `area` sees, in the order of their streams, and their numbers."""
        return list(self._numbered(grown(self.area, self.halo, self.size)))

    def runs(self, most: int) -> Iterator[list[tuple[int, Block]]]:
        """The same in runs of ``most`` at most that lie beside each other."""
        for _, band in groupby(self.blocks(), lambda numbered: numbered[1].top):
            row = list(band)
            yield from (row[start : start + most] for start in range(0, len(row), most))

    def hyper_blocks(self) -> list[tuple[int, Block]]:
        """The blocks whose z the features of `blocks` follow from."""
        seen = self.hyper_window([block for _, block in self.blocks()])
        return list(self._numbered(common(scaled(seen, HYPER_STRIDE), self.grid.whole)))

    def hyper_window(self, blocks: Sequence[Block]) -> Block:
        """The samples of z that say what is known of ``blocks``, which make a rectangle."""
        first, last = blocks[0].hyper(), blocks[-1].hyper()
        own = Block(first.top, last.bottom, first.left, last.right)
        return grown(own, HYPER_HALO, (self.grid.hyper_height, self.grid.hyper_width))

    def _numbered(self, area: Block) -> Iterator[tuple[int, Block]]:
        """Blocks that have samples of y in ``area``."""
        across = -(-self.grid.width // BLOCK)
        for row in range(area.top // BLOCK, -(-area.bottom // BLOCK)):
            for column in range(area.left // BLOCK, -(-area.right // BLOCK)):
                yield row * across + column, self.grid.block(row, column)


def _covering(pixels: Rectangle, stride: int) -> Block:
    return Block(
        pixels.top // stride,
        -(-pixels.bottom // stride),
        pixels.left // stride,
        -(-pixels.right // stride),
    )
