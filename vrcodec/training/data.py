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

# Half of the crops are shrunk by a factor drawn from this range: it averages away sensor noise and
# compression artefacts of the training pictures, which otherwise set a floor at high rates.
SHRINK = (0.5, 0.9)


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
    left out. Draws come from ``seed`` alone, so that ranks and resumed runs can be told apart.
    """

    def __init__(self, pictures: Sequence[Tensor], crop: int, seed: int, device: str) -> None:
        usable = filter_by_side(pictures, crop)
        self._pictures = [p.to(device) for p in usable]
        areas = np.array([p.shape[-2] * p.shape[-1] for p in usable], dtype=np.float64)
        self._weights = areas / areas.sum()
        self._crop = crop
        self._random = np.random.default_rng(seed)

    def batch(self, count: int) -> Tensor:
        """``count`` crops as float32 (count, 3, crop, crop) in [0, 1], channels last."""
        crops = torch.stack([self._draw_crop() for _ in range(count)])
        return crops.contiguous(memory_format=torch.channels_last)

    def _draw_crop(self) -> Tensor:
        picture = self._pictures[self._random.choice(len(self._pictures), p=self._weights)]
        factor = self._random.uniform(*SHRINK) if self._random.random() < 0.5 else 1.0
        side = round(self._crop / factor)
        if side > min(picture.shape[-2:]):
            side = self._crop
        top = self._random.integers(picture.shape[-2] - side + 1)
        left = self._random.integers(picture.shape[-1] - side + 1)
        crop = picture[:, top : top + side, left : left + side].float() / 255
        if side != self._crop:
            size = (self._crop, self._crop)
            crop = F.interpolate(crop[None], size, mode="bilinear", antialias=True)[0]
        if self._random.random() < 0.5:
            crop = crop.flip(-1)
        if self._random.random() < 0.5:
            crop = crop.transpose(-1, -2)
        return crop
