"""What a difference in pixels counts, in bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.metrics import MS_SSIM_MIN_SIDE, ms_ssim
from vrcodec.models.base import Pixels
from vrcodec.models.trade_off import rate_to_lambda
from vrcodec.regions.grid import STRIDE, Block
from vrcodec.regions.window import cut


@dataclass(frozen=True)
class Original:
    """The picture that is coded: ``pixels`` (H, W, 3) uint8, on ``device``."""

    pixels: Pixels
    device: torch.device

    def window(self, window: Block) -> Tensor:
        """(1, 3, h, w) in 0 .. 1 of the pixels that there are in a window of latents."""
        rows, columns = (
            slice(STRIDE * first, STRIDE * last)
            for first, last in ((window.top, window.bottom), (window.left, window.right))
        )
        part = torch.from_numpy(self.pixels[rows, columns].copy()).to(self.device)
        return part.permute(2, 0, 1).unsqueeze(0).float() / 255


class Distortion(ABC):
    """``additive``: whether that of a window is the sum of those of its rows."""

    additive: bool

    @abstractmethod
    def of(self, x_hat: Tensor, window: Block) -> Tensor:
        """Bits that pixels (1, 3, 16h, 16w) of a window of latents are worth less than the original's."""

    @abstractmethod
    def of_picture(self, pixels: Pixels) -> float:
        """The same of a decoded picture (H, W, 3) uint8."""


class SquaredError(Distortion):
    """lambda times the squared error, as in training (`vrcodec.training.loss`), per pixel.

    ``levels``: rates, (1, 1, 1, 1) or (1, 1, h, w) at the samples of y.
    """

    additive = True

    def __init__(self, original: Original, levels: Tensor) -> None:
        self._original = original
        self._weights = 255.0**2 * rate_to_lambda(levels)

    def of(self, x_hat: Tensor, window: Block) -> Tensor:
        x = self._original.window(window)
        errors = (x_hat[..., : x.shape[-2], : x.shape[-1]] - x).square().mean(1, keepdim=True)
        return self._weighted(errors, window).sum()

    def _weighted(self, errors: Tensor, window: Block) -> Tensor:
        weights = cut(self._weights, window)
        if weights.numel() > 1:
            own = F.interpolate(weights, scale_factor=STRIDE, mode="nearest")
            weights = own[..., : errors.shape[-2], : errors.shape[-1]]
        return errors * weights

    def of_picture(self, pixels: Pixels) -> float:
        rows = -(-len(pixels) // STRIDE)
        columns = -(-pixels.shape[1] // STRIDE)
        decoded = Original(pixels, self._original.device)
        # Row by row of latents: a large picture in floating point is four times as large.
        parts = (Block(row, row + 1, 0, columns) for row in range(rows))
        return float(sum(self.of(decoded.window(part), part) for part in parts))


class StructuralLoss(Distortion):
    """1 - MS-SSIM (Wang et al. 2003), which at first weighs as much as the squared error does.

    ``first``: the picture, (H, W, 3) uint8, as it is coded at first.
    """

    additive = False

    def __init__(self, original: Original, levels: Tensor, first: Pixels) -> None:
        self._original = original
        self._squared = SquaredError(original, levels)
        loss = 1 - _similarity(original.pixels, first)
        self._weight = self._squared.of_picture(first) / max(loss, 1e-9)
        self._pixels = first.shape[0] * first.shape[1]

    def of(self, x_hat: Tensor, window: Block) -> Tensor:
        x = self._original.window(window)
        if min(x.shape[-2:]) < MS_SSIM_MIN_SIDE:
            # What is left over at the border of a large picture.
            return self._squared.of(x_hat, window)
        from pytorch_msssim import ms_ssim as compute

        share = x.shape[-2] * x.shape[-1] / self._pixels
        similarity = compute(x_hat[..., : x.shape[-2], : x.shape[-1]], x, data_range=1.0)
        return share * self._weight * (1 - similarity)

    def of_picture(self, pixels: Pixels) -> float:
        return self._weight * (1 - _similarity(self._original.pixels, pixels))


def _similarity(a: Pixels, b: Pixels) -> float:
    found = ms_ssim(a, b)
    assert found is not None
    return found
