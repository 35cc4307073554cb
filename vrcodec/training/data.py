"""Training pictures: decoded once into uint8 memory, cropped on the device, no data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.errors import InputError, VrcError
from vrcodec.picture.reading import open_colours
from vrcodec.training.graphics import Pixels, draw_graphics, draw_patches

# Crops are shrunk by a factor drawn from this range: it averages away sensor noise and compression artefacts of
# the training pictures, which otherwise set a floor at high rates.
SHRINK = (0.5, 0.9)
# At levels up to the first of these, half of the crops are; at the second and above all of them, by the lesser
# factors of the range. Photographs are stored at 40 dB or so: what a crop as it is has to teach at such a level
# is the residue of another codec.
_SHRINK_LEVELS = (0.5, 0.8)
_MAX_FACTOR_AT_HIGH_LEVELS = 0.7
# A patch has a sixteenth of the pixels of a crop of 256x256.
_PATCH_SIDE = 64


def load_pictures(
    paths: Iterable[Path], on_error: Callable[[VrcError], None], threads: int = 4
) -> list[Tensor]:
    """Decode many pictures to uint8 (3, H, W), in parallel (Pillow releases the interpreter lock).

    Pictures that the codec would refuse (damaged, more than 8 bits ...) are left out, each with a call of
    ``on_error``.
    """

    def load(path: Path) -> Tensor | None:
        """One picture, or None when it is left out."""
        try:
            pixels = open_colours(path).pixels
        except VrcError as error:
            on_error(error)
            return None
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()

    with ThreadPoolExecutor(threads) as pool:
        return [picture for picture in pool.map(load, paths) if picture is not None]


def filter_by_side(pictures: Sequence[Tensor], side: int) -> list[Tensor]:
    """The ``pictures`` (3, H, W) that are at least ``side`` wide and high. Raises InputError if none is."""
    usable = [p for p in pictures if min(p.shape[-2:]) >= side]
    if not usable:
        raise InputError(f"no training picture is at least {side} pixels wide and high")
    return usable


class CropSampler:
    """Draws random square crops from pictures held in memory.

    A picture is drawn with probability proportional to its area. Pictures smaller than the crop are
    left out. ``graphics``: the share of crops that are drawn instead (`vrcodec.training.graphics`).
    """

    def __init__(
        self, pictures: Sequence[Tensor], crop: int, device: str, graphics: float = 0.0
    ) -> None:
        usable = filter_by_side(pictures, crop)
        self._pictures, self._host_pictures = [p.to(device) for p in usable], usable
        areas = np.array([p.shape[-2] * p.shape[-1] for p in usable], dtype=np.float64)
        self._weights = areas / areas.sum()
        self._crop, self._graphics, self._device = crop, graphics, device

    def batch(self, levels: Sequence[float], random: np.random.Generator) -> Tensor:
        """A crop for each of ``levels`` (in [0, 1]): float32 (B, 3, crop, crop) in [0, 1], channels last.

        Draws come from ``random`` alone.
        """
        crops = torch.stack([self._draw_sample(level, random) for level in levels])
        return crops.contiguous(memory_format=torch.channels_last)

    def patches(self, count: int, random: np.random.Generator) -> Tensor | None:
        """Small pictures of flats and of writing, (count, 3, 64, 64) in [0, 1]; None without graphics.

        Draws come from ``random`` alone.
        """
        if not self._graphics:
            return None
        drawn = self._place_drawn(draw_patches(count, _PATCH_SIDE, random))
        return drawn.contiguous(memory_format=torch.channels_last)

    def _draw_sample(self, level: float, random: np.random.Generator) -> Tensor:
        """A crop (3, crop, crop) in [0, 1] of a picture, or of graphics."""
        if self._graphics and random.random() < self._graphics:
            return self._draw_graphics(random)
        return self._draw_crop(level, random)

    def _draw_graphics(self, random: np.random.Generator) -> Tensor:
        side = self._crop
        source = self._host_pictures[random.choice(len(self._host_pictures), p=self._weights)]
        top, left = (int(random.integers(length - side + 1)) for length in source.shape[-2:])
        photograph = source[:, top : top + side, left : left + side].permute(1, 2, 0)
        return self._place_drawn(draw_graphics(side, random, photograph.contiguous().numpy()))

    def _place_drawn(self, pixels: Pixels) -> Tensor:
        """What was drawn, (..., H, W, 3), as float32 (..., 3, H, W) in [0, 1] on the device."""
        drawn = torch.from_numpy(pixels)
        if self._device != "cpu":
            # From pinned memory, so that nothing waits for the device.
            drawn = drawn.pin_memory().to(self._device, non_blocking=True)
        return drawn.movedim(-1, -3).float() / 255

    def _draw_crop(self, level: float, random: np.random.Generator) -> Tensor:
        picture = self._pictures[random.choice(len(self._pictures), p=self._weights)]
        height, width = picture.shape[-2:]
        side = min(round(self._crop / draw_factor(level, random)), height, width)
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        crop = picture[:, top : top + side, left : left + side].float() / 255
        if side != self._crop:
            size = (self._crop, self._crop)
            crop = F.interpolate(crop[None], size, mode="bilinear", antialias=True)[0]
        return _turn(crop, int(random.integers(8)))


def draw_factor(level: float, random: np.random.Generator) -> float:
    """By how much to shrink a crop for ``level`` (0 .. 1): 1, or a factor within `SHRINK`."""
    low, high = _SHRINK_LEVELS
    highness = min(max((level - low) / (high - low), 0.0), 1.0)
    share, longest = 0.5 + 0.5 * highness, SHRINK[1]
    longest += highness * (_MAX_FACTOR_AT_HIGH_LEVELS - longest)
    return float(random.uniform(SHRINK[0], longest)) if random.random() < share else 1.0


def _turn(crop: Tensor, symmetry: int) -> Tensor:
    """One of the eight symmetries of the square, 0 .. 7, of ``crop`` (C, S, S)."""
    if symmetry & 1:
        crop = crop.flip(-1)
    if symmetry & 2:
        crop = crop.flip(-2)
    return crop.transpose(-1, -2) if symmetry & 4 else crop
