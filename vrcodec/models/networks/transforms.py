"""The float part of coding: pixels to latents and back, in tiles, in any precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from vrcodec.models.coding.decode_plan import Plan
from vrcodec.models.coding.latent_rows import ScrollingLatents, empty_like
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.regions.canvas import Canvas, Pixels
from vrcodec.regions.grid import BLOCK, STRIDE, Block
from vrcodec.regions.tiling import LATENT_BYTES_PER_PIXEL, Tile, Tiling
from vrcodec.regions.window import cut, scaled

# Of pixels whose latents are kept while the synthesis passes them: three rows of blocks.
_ROWS_HELD = 3 * BLOCK * STRIDE

# What a network does: input, and what it sees beside it.
Network = Callable[..., Tensor]


def as_tensor(pixels: Pixels) -> Tensor:
    """Picture (H, W, 3) uint8 -> (1, 3, H, W), in the same memory, to read only."""
    with warnings.catch_warnings():
        # Of pictures that come from Pillow: they may not be written to, and PyTorch cannot know that.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def latent_size(x: Tensor) -> tuple[int, int]:
    """(h, w) of y for pictures (B, 3, H, W)."""
    height, width = x.shape[-2:]
    return -(-height // STRIDE), -(-width // STRIDE)


def analyse(
    net: Network, x: Tensor, halo: int, tiling: Tiling, device: torch.device, *beside: Tensor
) -> Tensor:
    """Latents (B, M, h, w) of uint8 (B, 3, H, W), whose last row and column go on to whole samples of y."""
    size = latent_size(x)

    def run(tile: Tile) -> Tensor:
        part = cut(x, scaled(tile.seen, STRIDE)).to(device)
        part = part.contiguous(memory_format=torch.channels_last).float().div_(255).sub_(0.5)
        whole = pad_to_multiple(part, STRIDE).contiguous(memory_format=torch.channels_last)
        return net(whole, *(cut(own, tile.seen) for own in beside))

    held = LATENT_BYTES_PER_PIXEL * x.shape[0] * x.shape[-2] * x.shape[-1]
    area = Block(0, size[0], 0, size[1])
    return in_tiles(run, tiling.tiles(area, size, halo, STRIDE, held), size)


def in_tiles(run: Callable[[Tile], Tensor], tiles: Iterable[Tile], size: tuple[int, int]) -> Tensor:
    """What ``run`` gives for each tile's `Tile.seen`, put together: (B, C, h, w), (h, w) = ``size``."""
    whole: Tensor | None = None
    for tile in tiles:
        part = cut(run(tile), tile.inside)
        if part.shape[-2:] == size:
            return part
        if whole is None:
            whole = empty_like(part, *size)
        cut(whole, tile.own).copy_(part)
    assert whole is not None
    return whole


def synthesise(
    net: Network, latents: ScrollingLatents, plan: Plan, tiling: Tiling, *beside: Tensor
) -> Pixels:
    """Pixels (H, W, 3) that ``plan`` shows, from the latents that it needs."""
    canvas = Canvas(plan.shown, plan.scale)
    held = LATENT_BYTES_PER_PIXEL * plan.shown.width * min(plan.shown.height, _ROWS_HELD)
    for tile in tiling.tiles(plan.area, plan.size, plan.halo, STRIDE, held):
        x = net(latents.window(tile.seen), *(cut(own, tile.seen) for own in beside))
        pixels = _rounded(cut(x, scaled(tile.inside, STRIDE)))
        canvas.put(pixels, STRIDE * tile.own.top, STRIDE * tile.own.left)
    return canvas.finish()


def _rounded(x: Tensor) -> Pixels:
    """(1, 3, H, W) around zero -> (H, W, 3) uint8."""
    pixels = ((x.float() + 0.5) * 255).round_().clamp_(0, 255).to(torch.uint8)
    array: Pixels = np.asarray(pixels[0].permute(1, 2, 0).cpu())
    return array
