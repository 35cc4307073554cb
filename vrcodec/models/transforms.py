"""The float part of coding: pixels to latents and back, in strips, in any precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.grid import STRIDE
from vrcodec.models.base import Pixels
from vrcodec.strips import StripGeometry, in_strips, strips

# What a network does: input, and what it sees beside it.
Network = Callable[..., Tensor]


def padded(pixels: Pixels, device: torch.device) -> Tensor:
    """Picture (H, W, 3) uint8 -> (1, 3, 16h, 16w), its last row and column repeated."""
    height, width = pixels.shape[:2]
    padding = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    whole = np.pad(pixels, padding, mode="edge")
    return torch.from_numpy(whole).to(device).permute(2, 0, 1).unsqueeze(0)


def analyse(net: Network, x: Tensor, halo: int, units: int, *beside: Tensor) -> Tensor:
    """Latents (1, M, h, w) of uint8 (1, 3, 16h, 16w), ``units`` latent rows at a time."""

    def run(part: Tensor, *others: Tensor) -> Tensor:
        own = part.contiguous(memory_format=torch.channels_last).float().div_(255).sub_(0.5)
        return net(own, *others)

    return in_strips(run, x, StripGeometry(STRIDE, 1, halo), units, *beside)


def synthesise(net: Network, y_hat: Tensor, halo: int, units: int, *beside: Tensor) -> Pixels:
    """Pixels (16h, 16w, 3) of y_hat (1, M, h, w)."""

    def run(part: Tensor, *others: Tensor) -> Tensor:
        x = net(part.contiguous(memory_format=torch.channels_last), *others)
        return ((x.float() + 0.5) * 255).round_().clamp_(0, 255).to(torch.uint8)

    height, width = (STRIDE * n for n in y_hat.shape[-2:])
    pixels = np.empty((height, width, 3), np.uint8)
    geometry = StripGeometry(1, STRIDE, halo)
    for top, rows in strips(run, y_hat, geometry, units, *beside):
        pixels[top : top + rows.shape[-2]] = rows[0].permute(1, 2, 0).cpu().numpy()
    return pixels
