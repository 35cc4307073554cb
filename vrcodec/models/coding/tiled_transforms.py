"""Analysis and synthesis, the float part of coding: pixels to latents and back, in tiles, in any precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.sliding_latents import SlidingLatents, empty_like
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.regions.canvas import Canvas, Pixels
from vrcodec.regions.grid import BLOCK, STRIDE, Block
from vrcodec.regions.tiling import LATENT_BYTES_PER_PIXEL, Tile, Tiling
from vrcodec.regions.window import crop_to, scale_up

# Rows of pixels whose latents the synthesis keeps at a time: three rows of blocks.
_PIXEL_ROWS_HELD = 3 * BLOCK * STRIDE

# Input, conditions -> output.
Network = Callable[..., Tensor]
# Changes pixels (H, W, 3) of a tile, whose first is in this row and column of the picture.
Overlay = Callable[[Pixels, int, int], None]


def picture_to_tensor(pixels: Pixels) -> Tensor:
    """Picture (H, W, 3) uint8 -> (1, 3, H, W), in the same memory, to read only."""
    with warnings.catch_warnings():
        # PyTorch warns of read-only arrays, such as those of Pillow; nothing writes to them here.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def latent_size(x: Tensor) -> tuple[int, int]:
    """(h, w) of y for pictures (B, 3, H, W)."""
    height, width = x.shape[-2:]
    return -(-height // STRIDE), -(-width // STRIDE)


def analyse_in_tiles(
    net: Network, x: Tensor, halo: int, tiling: Tiling, device: torch.device, *conditions: Tensor
) -> Tensor:
    """Latents (B, M, h, w) of uint8 (B, 3, H, W), padded to whole samples of y by its last row and column.

    ``conditions``: (B, K, h, w) or (B, K, 1, 1). ``halo``: samples of y that the network sees on each side.
    """
    size = latent_size(x)

    def run(tile: Tile) -> Tensor:
        part = crop_to(x, scale_up(tile.input, STRIDE)).to(device)
        part = part.contiguous(memory_format=torch.channels_last).float().div_(255).sub_(0.5)
        padded = pad_to_multiple(part, STRIDE).contiguous(memory_format=torch.channels_last)
        return net(padded, *(crop_to(c, tile.input) for c in conditions))

    held = LATENT_BYTES_PER_PIXEL * x.shape[0] * x.shape[-2] * x.shape[-1]
    area = Block(0, size[0], 0, size[1])
    return run_in_tiles(run, tiling.tiles(area, size, halo, STRIDE, held), size)


def run_in_tiles(
    run: Callable[[Tile], Tensor], tiles: Iterable[Tile], size: tuple[int, int]
) -> Tensor:
    """Stitch together what ``run`` gives for each tile's `Tile.input`: (B, C, h, w), (h, w) = ``size``."""
    whole: Tensor | None = None
    for tile in tiles:
        part = crop_to(run(tile), tile.output_in_input)
        if part.shape[-2:] == size:
            return part
        if whole is None:
            whole = empty_like(part, *size)
        crop_to(whole, tile.output).copy_(part)
    assert whole is not None
    return whole


def synthesise_in_tiles(
    net: Network,
    latents: SlidingLatents,
    plan: DecodePlan,
    tiling: Tiling,
    overlay: Overlay | None,
    *conditions: Tensor,
) -> Pixels:
    """Pixels (H, W, 3) that ``plan`` shows, from the latents that it needs.

    ``overlay``: applied to each tile.
    """
    canvas = Canvas(plan.pixel_area, plan.scale)
    held = (
        LATENT_BYTES_PER_PIXEL
        * plan.pixel_area.width
        * min(plan.pixel_area.height, _PIXEL_ROWS_HELD)
    )
    for tile in tiling.tiles(plan.latent_area, plan.latent_size, plan.halo, STRIDE, held):
        x = net(latents.window(tile.input), *(crop_to(c, tile.input) for c in conditions))
        pixels = _round_to_pixels(crop_to(x, scale_up(tile.output_in_input, STRIDE)))
        top, left = STRIDE * tile.output.top, STRIDE * tile.output.left
        if overlay:
            overlay(pixels, top, left)
        canvas.put(pixels, top, left)
    return canvas.finish()


def _round_to_pixels(x: Tensor) -> Pixels:
    """x_hat - 1/2 (1, 3, H, W) -> (H, W, 3) uint8."""
    pixels = ((x.float() + 0.5) * 255).round_().clamp_(0, 255).to(torch.uint8)
    array: Pixels = np.asarray(pixels[0].permute(1, 2, 0).cpu())
    return array
