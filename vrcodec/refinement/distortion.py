"""Distortion, in bits: lambda x squared error, MS-SSIM of the same weight, or SSIMULACRA 2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.metrics import MS_SSIM_MIN_SIDE, SSIMULACRA2_MIN_SIDE, ms_ssim
from vrcodec.metrics.perceptual import ssimulacra2_score
from vrcodec.metrics.squared_error import squared_errors
from vrcodec.metrics.structural import ms_ssim_score
from vrcodec.models.base import Pixels
from vrcodec.models.trade_off import perceptual_distortion, rate_to_lambda
from vrcodec.regions.grid import STRIDE, Block, LatentGrid
from vrcodec.regions.window import crop_to


@dataclass(frozen=True)
class Original:
    """The picture to compare with: ``pixels`` (H, W, 3) uint8; windows of it are on ``device``."""

    pixels: Pixels
    device: torch.device

    def crop(self, window: Block) -> Tensor:
        """Pixels (1, 3, h, w), 0 .. 1, of a window of latents, as far as the picture reaches."""
        rows, columns = (
            slice(STRIDE * first, STRIDE * last)
            for first, last in ((window.top, window.bottom), (window.left, window.right))
        )
        crop = torch.from_numpy(self.pixels[rows, columns].copy()).to(self.device)
        return crop.permute(2, 0, 1).unsqueeze(0).float() / 255


class Distortion(ABC):
    """``additive``: whether the distortion of a window is the sum of those of its rows."""

    additive: bool

    @abstractmethod
    def of_window(self, x_hat: Tensor, window: Block) -> Tensor:
        """Of reconstructed pixels (1, 3, 16h, 16w) of a window (h, w) of latents: a scalar with a gradient."""

    @abstractmethod
    def of_picture(self, pixels: Pixels) -> float:
        """The same of a decoded picture (H, W, 3) uint8."""


class SquaredError(Distortion):
    """lambda times the squared error, as in training (`vrcodec.training.objectives`), per pixel.

    ``levels``: rates, (1, 1, 1, 1) or (1, 1, h, w) at the samples of y.
    """

    additive = True

    def __init__(self, original: Original, levels: Tensor) -> None:
        self._original = original
        self._weights = 255.0**2 * rate_to_lambda(levels)

    def of_window(self, x_hat: Tensor, window: Block) -> Tensor:
        x = self._original.crop(window)
        errors = squared_errors(x, x_hat[..., : x.shape[-2], : x.shape[-1]]).mean(1, keepdim=True)
        return self._weighted(errors, window).sum()

    def _weighted(self, errors: Tensor, window: Block) -> Tensor:
        weights = crop_to(self._weights, window)
        if weights.numel() > 1:
            per_pixel = F.interpolate(weights, scale_factor=STRIDE, mode="nearest")
            weights = per_pixel[..., : errors.shape[-2], : errors.shape[-1]]
        return errors * weights

    def of_picture(self, pixels: Pixels) -> float:
        rows = -(-len(pixels) // STRIDE)
        columns = -(-pixels.shape[1] // STRIDE)
        decoded = Original(pixels, self._original.device)
        # Row by row of latents: a large picture in floating point is four times as large.
        windows = (Block(row, row + 1, 0, columns) for row in range(rows))
        return float(sum(self.of_window(decoded.crop(window), window) for window in windows))


class PerceptualLoss(Distortion):
    """`perceptual_distortion`, as in training: mostly what a SSIMULACRA 2 score lacks of 100.

    Of a large picture it is that of its blocks, each with a score of its own.
    """

    additive = False

    def __init__(self, original: Original, levels: Tensor) -> None:
        self._original, self._levels = original, levels
        self._squared = SquaredError(original, levels)

    def of_window(self, x_hat: Tensor, window: Block) -> Tensor:
        squared = self._squared.of_window(x_hat, window)
        x = self._original.crop(window)
        if min(x.shape[-2:]) < SSIMULACRA2_MIN_SIDE:
            return squared
        score = ssimulacra2_score(x, x_hat[..., : x.shape[-2], : x.shape[-1]]).squeeze(0)
        pixels, level = x.shape[-2] * x.shape[-1], crop_to(self._levels, window).mean()
        return pixels * perceptual_distortion(squared / pixels, score, level)

    @torch.no_grad()
    def of_picture(self, pixels: Pixels) -> float:
        decoded = Original(pixels, self._original.device)
        blocks = LatentGrid.of_picture(pixels.shape[1], pixels.shape[0]).blocks()
        return float(sum(self.of_window(decoded.crop(block), block) for block in blocks))


class StructuralLoss(Distortion):
    """1 - MS-SSIM (Wang et al. 2003), weighted to equal the squared error of the plain pass.

    ``plain``: the reconstruction of that, (H, W, 3) uint8.
    """

    additive = False

    def __init__(self, original: Original, levels: Tensor, plain: Pixels) -> None:
        self._original = original
        self._squared = SquaredError(original, levels)
        loss = 1 - _similarity(original.pixels, plain)
        self._weight = self._squared.of_picture(plain) / max(loss, 1e-9)
        self._pixels = plain.shape[0] * plain.shape[1]

    def of_window(self, x_hat: Tensor, window: Block) -> Tensor:
        x = self._original.crop(window)
        if min(x.shape[-2:]) < MS_SSIM_MIN_SIDE:
            # The remainder at the border of a large picture.
            return self._squared.of_window(x_hat, window)
        share = x.shape[-2] * x.shape[-1] / self._pixels
        similarity = ms_ssim_score(x, x_hat[..., : x.shape[-2], : x.shape[-1]]).squeeze(0)
        return share * self._weight * (1 - similarity)

    def of_picture(self, pixels: Pixels) -> float:
        return self._weight * (1 - _similarity(self._original.pixels, pixels))


def _similarity(a: Pixels, b: Pixels) -> float:
    similarity = ms_ssim(a, b)
    assert similarity is not None
    return similarity
