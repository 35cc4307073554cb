"""Operations on rectangles of latents, and cropping of arrays to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vrcodec.regions.grid import Block

if TYPE_CHECKING:
    from vrcodec.kernels import Array


def crop_to(x: Array, window: Block) -> Array:
    """The part of (B, C, h, w) in ``window``, a view; a constant (B, C, 1, 1) is returned as it is."""
    if tuple(x.shape[-2:]) == (1, 1):
        return x
    return x[..., window.top : window.bottom, window.left : window.right]


def expand(window: Block, margin: int, size: Sequence[int]) -> Block:
    """``window`` with ``margin`` more on each side, clipped to (h, w) = ``size``."""
    height, width = size
    return Block(
        max(0, window.top - margin),
        min(height, window.bottom + margin),
        max(0, window.left - margin),
        min(width, window.right + margin),
    )


def intersect(one: Block, other: Block) -> Block:
    """The intersection. Where it is empty, ends may come before starts."""
    return Block(
        max(one.top, other.top),
        min(one.bottom, other.bottom),
        max(one.left, other.left),
        min(one.right, other.right),
    )


def relative_to(window: Block, outer: Block) -> Block:
    """``window`` in coordinates whose origin is the top left of ``outer``."""
    return Block(
        window.top - outer.top,
        window.bottom - outer.top,
        window.left - outer.left,
        window.right - outer.left,
    )


def scale_up(window: Block, factor: int) -> Block:
    """``window`` on a grid that is ``factor`` times as fine."""
    return Block(
        window.top * factor, window.bottom * factor, window.left * factor, window.right * factor
    )
