"""Analysis and synthesis, the float part of coding: pixels to latents and back, in tiles, in any precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.sliding_latents import SlidingLatents
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.models.place import Place
from vrcodec.regions.canvas import Canvas, Pixels
from vrcodec.regions.grid import BLOCK, STRIDE, Block
from vrcodec.regions.tiling import LATENT_BYTES_PER_PIXEL, Tile, Tiling
from vrcodec.regions.window import crop_to, scale_up

# Rows of pixels whose latents the synthesis keeps at a time: three rows of blocks.
_PIXEL_ROWS_HELD = 3 * BLOCK * STRIDE

# Input, conditions -> output.
Network = Callable[..., Array]
# Changes pixels (H, W, 3) of a tile, whose first is in this row and column of the picture.
Overlay = Callable[[Pixels, int, int], None]


def latent_size(x: Array) -> tuple[int, int]:
    """(h, w) of y for pictures (B, 3, H, W)."""
    height, width = x.shape[-2:]
    return -(-height // STRIDE), -(-width // STRIDE)


def analyse_in_tiles(
    net: Network, x: Array, halo: int, tiling: Tiling, place: Place, *conditions: Array
) -> Array:
    """Latents (B, M, h, w) of uint8 (B, 3, H, W), padded to whole samples of y by its last row and column.

    ``place``: of the network. ``conditions``: (B, K, h, w) or (B, K, 1, 1). ``halo``: samples of y that the
    network sees on each side.
    """
    size = latent_size(x)

    def run(tile: Tile) -> Array:
        part = place.move(crop_to(x, scale_up(tile.input, STRIDE)))
        kernels = kernels_of(part)
        part = kernels.float32(kernels.channels_last(part))
        part /= 255
        part -= 0.5
        padded = kernels.channels_last(pad_to_multiple(part, STRIDE))
        return net(padded, *(crop_to(c, tile.input) for c in conditions))

    held = LATENT_BYTES_PER_PIXEL * x.shape[0] * x.shape[-2] * x.shape[-1]
    area = Block(0, size[0], 0, size[1])
    return run_in_tiles(run, tiling.tiles(area, size, halo, STRIDE, held), size)


def run_in_tiles(
    run: Callable[[Tile], Array], tiles: Iterable[Tile], size: tuple[int, int]
) -> Array:
    """Stitch together what ``run`` gives for each tile's `Tile.input`: (B, C, h, w), (h, w) = ``size``."""
    whole: Array | None = None
    for tile in tiles:
        part = crop_to(run(tile), tile.output_in_input)
        if tuple(part.shape[-2:]) == size:
            return part
        if whole is None:
            whole = kernels_of(part).empty(part, (*part.shape[:2], *size))
        crop_to(whole, tile.output)[:] = part
    assert whole is not None
    return whole


def synthesise_in_tiles(
    net: Network,
    latents: SlidingLatents,
    plan: DecodePlan,
    tiling: Tiling,
    overlay: Overlay | None,
    *conditions: Array,
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


def _round_to_pixels(x: Array) -> Pixels:
    """x_hat - 1/2 (1, 3, H, W) -> (H, W, 3) uint8."""
    kernels = kernels_of(x)
    samples = (kernels.float32(x) + 0.5) * 255
    return np.moveaxis(kernels.uint8(samples)[0], 0, -1)
