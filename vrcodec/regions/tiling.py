"""Bounded-memory evaluation: a large picture in tiles with halos.

What a convolutional network gives for a place depends on little around it, so tiles that overlap by the
receptive field give the same as the whole picture would. How a reader cuts is its own business: the
bitstream does not know, and the guard band keeps the size of tiles from choosing tables.

A tile is counted in *units*: samples of the coarser side of a network, such as those of y, which are 16
pixels wide, for analysis and synthesis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from vrcodec.regions.grid import Block
from vrcodec.regions.window import grown, within

# The fastest, measured on a CPU: larger tiles have less halo, but are written to fresh pages of memory.
_PIXELS_PER_TILE = 1 << 20
# Below that nearly all is halo.
_FEWEST_PIXELS = 1 << 17
# What the networks take for their features, halo included, measured.
_BYTES_PER_PIXEL = 110
# Of a sample of y in float32, by the pixels that it stands for, for 320 channels.
LATENT_BYTES_PER_PIXEL = 5
# The interpreter, the libraries and the model.
_BYTES_OF_PROGRAM = 650 << 20


@dataclass(frozen=True)
class Tile:
    """``own``: what a tile is to give. ``seen``: that and its halo, as far as there is something."""

    own: Block
    seen: Block

    @property
    def inside(self) -> Block:
        """Where ``own`` lies in ``seen``."""
        return within(self.own, self.seen)


@dataclass(frozen=True)
class Tiling:
    """How large tiles may be: as fits into ``memory`` bytes; or ``side`` units high and wide, for tests."""

    memory: int | None = None
    side: int | None = None

    def tiles(
        self, area: Block, size: tuple[int, int], halo: int, stride: int, held: int = 0
    ) -> Iterator[Tile]:
        """Tiles that cover ``area`` of a picture of ``size`` (h, w), row by row; in units of ``stride`` pixels.

        ``halo``: units on each side that a unit's output depends on. ``held``: bytes that are taken besides.
        """
        rows, columns = self.shape(area.size, stride, held)
        for top in range(area.top, area.bottom, rows):
            bottom = min(area.bottom, top + rows)
            for left in range(area.left, area.right, columns):
                own = Block(top, bottom, left, min(area.right, left + columns))
                yield Tile(own, grown(own, halo, size))

    def units(self, stride: int, held: int = 0) -> int:
        """How many units of ``stride`` pixels a tile may have, 1 at least."""
        if self.side:
            return self.side**2
        pixels = _PIXELS_PER_TILE
        if self.memory is not None:
            fitting = (self.memory - _BYTES_OF_PROGRAM - held) // _BYTES_PER_PIXEL
            pixels = min(pixels, fitting)
        return max(1, max(_FEWEST_PIXELS, pixels) // stride**2)

    def shape(self, size: tuple[int, int], stride: int, held: int = 0) -> tuple[int, int]:
        """Rows and columns of a tile: as square as may be, because that has the least halo."""
        height, width = size
        most = self.units(stride, held)
        columns = min(width, isqrt(most))
        rows = min(height, most // columns)
        return _even(height, rows), _even(width, min(width, most // rows))


def _even(length: int, part: int) -> int:
    """The smallest part that cuts ``length`` into no more parts than ``part`` does."""
    count = -(-length // part)
    return -(-length // count)


DEFAULT_TILING = Tiling()
