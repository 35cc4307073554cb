"""Rectangles of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vrcodec.regions.grid import Block

if TYPE_CHECKING:
    from torch import Tensor


def cut(x: Tensor, window: Block) -> Tensor:
    """What of (B, C, h, w) lies in ``window``: a view. What is the same everywhere, (B, C, 1, 1), stays."""
    if x.shape[-2:] == (1, 1):
        return x
    return x[..., window.top : window.bottom, window.left : window.right]


def grown(window: Block, by: int, size: Sequence[int]) -> Block:
    """``window`` with ``by`` more on each side, as far as there is something in (h, w) = ``size``."""
    height, width = size
    return Block(
        max(0, window.top - by),
        min(height, window.bottom + by),
        max(0, window.left - by),
        min(width, window.right + by),
    )


def common(one: Block, other: Block) -> Block:
    """What lies in both. Where nothing does, ends come before starts."""
    return Block(
        max(one.top, other.top),
        min(one.bottom, other.bottom),
        max(one.left, other.left),
        min(one.right, other.right),
    )


def within(window: Block, outer: Block) -> Block:
    """Where ``window`` lies in what was cut out by ``outer``."""
    return Block(
        window.top - outer.top,
        window.bottom - outer.top,
        window.left - outer.left,
        window.right - outer.left,
    )


def scaled(window: Block, factor: int) -> Block:
    """The same on a grid that is ``factor`` times as fine."""
    return Block(
        window.top * factor, window.bottom * factor, window.left * factor, window.right * factor
    )
