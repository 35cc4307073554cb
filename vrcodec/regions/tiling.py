"""Bounded-memory evaluation: a large picture in tiles with halos.

An output of a convolutional network depends on its receptive field alone, so tiles that overlap by that give
the same as the whole picture would. Tiles are a decision of the reader: the bitstream does not know them, and
the guard band keeps their size from choosing tables.

Tiles are measured in *units*: samples of the coarser side of a network. For analysis and synthesis those are
the samples of y, 16 pixels wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from vrcodec.regions.grid import Block
from vrcodec.regions.window import expand, relative_to

# The fastest, measured on a CPU: larger tiles have less halo, but are written to fresh pages of memory.
_MAX_PIXELS = 1 << 20
# Smaller tiles would be nearly all halo.
_MIN_PIXELS = 1 << 17
# Memory of the features of most networks, halo included, measured.
_BYTES_PER_PIXEL = 110
# Memory of y in float32, of 320 channels, for each pixel of the picture.
LATENT_BYTES_PER_PIXEL = 5
# Memory of the interpreter, the libraries and the model.
_BASE_BYTES = 650 << 20


@dataclass(frozen=True)
class Tile:
    """``output``: the rectangle that a tile computes. ``input``: that with its halo, clipped to the picture."""

    output: Block
    input: Block

    @property
    def output_in_input(self) -> Block:
        """Where ``output`` lies in ``input``."""
        return relative_to(self.output, self.input)


@dataclass(frozen=True)
class Tiling:
    """How large tiles may be: as fits into ``memory`` bytes; or ``side`` units high and wide, for tests.

    ``bytes_per_pixel``: what the features of the network take, halo included.
    """

    memory: int | None = None
    side: int | None = None
    bytes_per_pixel: int = _BYTES_PER_PIXEL

    def tiles(
        self, area: Block, size: tuple[int, int], halo: int, stride: int, reserved: int = 0
    ) -> Iterator[Tile]:
        """Tiles that cover ``area`` of a picture of ``size`` (h, w), row by row; in units of ``stride`` pixels.

        ``halo``: units on each side that a unit's output depends on. ``reserved``: bytes of memory for
        other things.
        """
        rows, columns = self.tile_shape(area.size, stride, reserved)
        for top in range(area.top, area.bottom, rows):
            bottom = min(area.bottom, top + rows)
            for left in range(area.left, area.right, columns):
                output = Block(top, bottom, left, min(area.right, left + columns))
                yield Tile(output, expand(output, halo, size))

    def max_units(self, stride: int, reserved: int = 0) -> int:
        """How many units of ``stride`` pixels a tile may have, 1 at least."""
        if self.side:
            return self.side**2
        pixels = _MAX_PIXELS
        if self.memory is not None:
            affordable = (self.memory - _BASE_BYTES - reserved) // self.bytes_per_pixel
            pixels = min(pixels, affordable)
        return max(1, max(_MIN_PIXELS, pixels) // stride**2)

    def tile_shape(self, size: tuple[int, int], stride: int, reserved: int = 0) -> tuple[int, int]:
        """Rows and columns of a tile: as square as may be, because that has the least halo."""
        height, width = size
        capacity = self.max_units(stride, reserved)
        columns = min(width, isqrt(capacity))
        rows = min(height, capacity // columns)
        return _even_part(height, rows), _even_part(width, min(width, capacity // rows))


def _even_part(length: int, part: int) -> int:
    """The smallest part that cuts ``length`` into no more parts than ``part`` does."""
    count = -(-length // part)
    return -(-length // count)


DEFAULT_TILING = Tiling()
