"""How a picture's latents are cut into independently coded blocks.

Part of the format: sizes follow from the picture's, and nothing of this is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

STRIDE = 16
HYPER_STRIDE = 4
# In samples of y: a block covers 1024 x 1024 pixels.
BLOCK = 64


@dataclass(frozen=True)
class Block:
    """A rectangle of y: rows top .. bottom - 1, columns left .. right - 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array (C, h, w)."""
        return slice(None), slice(self.top, self.bottom), slice(self.left, self.right)

    def hyper(self) -> Block:
        """The same rectangle in samples of z."""
        up, down = self.top // HYPER_STRIDE, -(-self.bottom // HYPER_STRIDE)
        return Block(up, down, self.left // HYPER_STRIDE, -(-self.right // HYPER_STRIDE))


@dataclass(frozen=True)
class LatentGrid:
    """Sizes of y for a picture, and its blocks."""

    height: int
    width: int

    @staticmethod
    def of_picture(width: int, height: int) -> LatentGrid:
        """The grid of a picture of ``width`` x ``height`` pixels, padded to whole samples of y."""
        return LatentGrid(-(-height // STRIDE), -(-width // STRIDE))

    @property
    def hyper_height(self) -> int:
        """Rows of z."""
        return -(-self.height // HYPER_STRIDE)

    @property
    def hyper_width(self) -> int:
        """Columns of z."""
        return -(-self.width // HYPER_STRIDE)

    @property
    def whole(self) -> Block:
        """All of y."""
        return Block(0, self.height, 0, self.width)

    def bands(self) -> list[list[Block]]:
        """Blocks in raster order, grouped by row of blocks."""
        return [
            [self.block(row, column) for column in range(-(-self.width // BLOCK))]
            for row in range(-(-self.height // BLOCK))
        ]

    def block(self, row: int, column: int) -> Block:
        """The block in a row of blocks and a column of blocks."""
        top, left = row * BLOCK, column * BLOCK
        bottom, right = min(top + BLOCK, self.height), min(left + BLOCK, self.width)
        return Block(top, bottom, left, right)

    @property
    def block_count(self) -> int:
        """Number of latent streams of a method with one level."""
        return -(-self.height // BLOCK) * -(-self.width // BLOCK)
