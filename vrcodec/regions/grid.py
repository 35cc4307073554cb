"""The grid of independently coded blocks of a picture's latents.

Part of the format: sizes follow from those of the picture, and are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass

# Pixels to a sample of y, and samples of y to one of z, in each direction.
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
    def slices(self) -> tuple[slice, slice, slice]:
        """The index of this rectangle in an array (C, h, w)."""
        return slice(None), slice(self.top, self.bottom), slice(self.left, self.right)

    def hyper(self) -> Block:
        """The samples of z that cover this rectangle."""
        top, bottom = self.top // HYPER_STRIDE, -(-self.bottom // HYPER_STRIDE)
        return Block(top, bottom, self.left // HYPER_STRIDE, -(-self.right // HYPER_STRIDE))


@dataclass(frozen=True)
class LatentGrid:
    """``height``, ``width``: the size of y of a picture; and its blocks."""

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

    def blocks(self) -> list[Block]:
        """All blocks in raster order, which is that of their streams."""
        return [
            self.block(row, column)
            for row in range(-(-self.height // BLOCK))
            for column in range(-(-self.width // BLOCK))
        ]

    def block(self, row: int, column: int) -> Block:
        """The block in a row of blocks and a column of blocks."""
        top, left = row * BLOCK, column * BLOCK
        bottom, right = min(top + BLOCK, self.height), min(left + BLOCK, self.width)
        return Block(top, bottom, left, right)

    @property
    def block_count(self) -> int:
        """Number of blocks, which is that of latent streams of a method with one level."""
        return -(-self.height // BLOCK) * -(-self.width // BLOCK)
