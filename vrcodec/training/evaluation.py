"""Estimated rate and PSNR on held-out pictures, during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vrcodec.models import VariableRateModel
from vrcodec.models.device import mixed_precision
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import place_trainable
from vrcodec.training.log import Record
from vrcodec.training.loop import Trainer
from vrcodec.training.objectives import LOSSES, LossFunction, rate_distortion_loss

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Side of the central crop that is evaluated: a multiple of every stride.
_SIDE = 512


@dataclass(frozen=True)
class Point:
    """Means over the pictures at one rate. ``bpp`` is estimated; PSNR is of the clamped output, in dB.

    ``width``: of a slimmable model.
    """

    rate: float
    loss: float
    bpp: float
    psnr: float
    width: int | None = None


@torch.inference_mode()
def evaluate(
    model: VariableRateModel,
    pictures: Sequence[Tensor],
    device: str,
    loss: LossFunction = rate_distortion_loss,
    levels: Sequence[float] = RATES,
) -> list[Point]:
    """Evaluate ``model`` (in evaluation mode) on uint8 pictures (3, H, W), at each width, narrow to wide.

    ``levels``: the rates, or of a slimmable model levels of each width's reach, 0 .. 1.
    """
    place_trainable(model, device)
    reaches: dict[int | None, float] = {None: 1.0}
    if model.size.widths:
        reaches = dict(zip(model.size.widths, model.size.reach, strict=True))
    return [
        _evaluate_point(model, pictures, level, width, reach, device, loss)
        for width, reach in reaches.items()
        for level in levels
    ]


def _evaluate_point(
    model: VariableRateModel,
    pictures: Sequence[Tensor],
    level: float,
    width: int | None,
    reach: float,
    device: str,
    loss_function: LossFunction,
) -> Point:
    rows = []
    for picture in pictures:
        x = _central_crop(picture).to(device).unsqueeze(0).float() / 255
        levels = torch.tensor([level], device=device)
        with mixed_precision(torch.device(device)):
            out = run(model, x, levels, width)
        loss = loss_function(x, out.x_hat.clamp(0, 1), out.likelihoods, levels * reach)
        psnr = -10 * torch.log10(loss.mse)
        rows.append(torch.stack([loss.total, loss.bpp[0], psnr[0]]))
    total, bpp, quality = torch.stack(rows).mean(0).tolist()
    return Point(level * reach, total, bpp, quality, width)


def _central_crop(picture: Tensor) -> Tensor:
    height, width = (min(side, _SIDE) // 16 * 16 for side in picture.shape[-2:])
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    return picture[:, top : top + height, left : left + width]


class HeldOut:
    """Evaluates a trainer's average each time it is called: a row of the CSV ``path`` for each point.

    ``loss``: the mean over the points of the last time.
    """

    _COLUMNS = ("step", "samples", "width", "rate", "loss", "bpp", "psnr")

    def __init__(self, path: Path, pictures: Sequence[Tensor], say: Callable[[str], None]) -> None:
        self.record = Record(path, self._COLUMNS, say)
        self.loss: float | None = None
        self.pictures = pictures
        self._say = say

    def __call__(self, trainer: Trainer) -> None:
        loss = LOSSES[trainer.recipe.tune]
        points = evaluate(trainer.averaged_model(), self.pictures, trainer.device, loss)
        position = trainer.position
        for p in points:
            figures = (f"{p.loss:.4f}", f"{p.bpp:.4f}", f"{p.psnr:.3f}")
            values = (position.step, position.samples, p.width or "", p.rate, *figures)
            self.record.add(values)
        self.loss = sum(p.loss for p in points) / len(points)
        self._say(f"step {position.step} held-out loss {self.loss:.4f}")
