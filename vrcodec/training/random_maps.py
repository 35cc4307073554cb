"""Random quality maps for training.

Uniform maps (enough of them to cover the rate axis), ramps, sums of Gaussian bumps, and regions: those of
Song et al., ICCV 2021, section 4.1, except that their regions come from segmentation labels; here a region is
all that is brighter than a random grey in a blurred picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.bitstream.quality_map import COARSE_STRIDE
from vrcodec.kernels import kernels_of
from vrcodec.regions.grid import STRIDE

_STEPS = 255
_UNIFORM_SHARE = 0.4
_MAX_BUMPS = 8


def draw_maps(x: Tensor, levels: Tensor) -> Tensor:
    """One map for each picture of (B, 3, 32h, 32w), between its two of ``levels`` (B, 2) in [0, 1].

    Returns (B, 1, 2h, 2w), at the samples of y, in steps of 1/255: cells of 32 x 32 pixels, as smaller ones
    teach nothing more. A uniform map has the first level.
    """
    shape = x.shape[-2] // COARSE_STRIDE, x.shape[-1] // COARSE_STRIDE
    maps = torch.stack([_draw_map(*pair, shape) for pair in zip(x, levels, strict=True)])
    steps = (maps * _STEPS).round() / _STEPS
    at_y: Tensor = kernels_of(steps).repeat(steps, [side // STRIDE for side in x.shape[-2:]])
    return at_y


def _draw_map(picture: Tensor, levels: Tensor, shape: tuple[int, int]) -> Tensor:
    first, second = levels
    if torch.rand(()) < _UNIFORM_SHARE:
        return first.expand(1, *shape)
    shapes: tuple[Callable[[Tensor, tuple[int, int]], Tensor], ...] = (_ramp, _bumps, _regions)
    mask = shapes[int(torch.randint(len(shapes), ()))](picture, shape)
    return first + (second - first) * mask.unsqueeze(0)


def _cell_centres(picture: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (w,) of the centres of the cells, in [0, 1]."""
    rows, columns = ((torch.arange(count, device=picture.device) + 0.5) / count for count in shape)
    return rows.unsqueeze(1), columns


def _ramp(picture: Tensor, shape: tuple[int, int]) -> Tensor:
    rows, columns = _cell_centres(picture, shape)
    angle = 2 * torch.pi * torch.rand((), device=picture.device)
    slope = rows * angle.sin() + columns * angle.cos()
    return (slope - slope.min()) / (slope.max() - slope.min())


def _bumps(picture: Tensor, shape: tuple[int, int]) -> Tensor:
    rows, columns = _cell_centres(picture, shape)
    count = int(torch.randint(1, _MAX_BUMPS + 1, ()))
    top, left, size = torch.rand(3, count, 1, 1, device=picture.device)
    distance = (rows - top).square() + (columns - left).square()
    bumps = (-distance / (2 * (0.05 + 0.25 * size).square())).exp().sum(0)
    return bumps / bumps.max()


def _regions(picture: Tensor, shape: tuple[int, int]) -> Tensor:
    grey = F.adaptive_avg_pool2d(picture.mean(0, keepdim=True), shape)[0]
    level = torch.quantile(grey.flatten(), float(torch.rand(())) * 0.8 + 0.1)
    return (grey > level).to(grey.dtype)
