"""The rate-distortion loss, and the objective of a training step: random rates, quality maps, or widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.errors import UsageError
from vrcodec.metrics.perceptual import ssimulacra2_score
from vrcodec.metrics.squared_error import squared_errors
from vrcodec.models import VariableRateModel
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.passes import code_latents, run
from vrcodec.models.trade_off import LAMBDA_MIN, perceptual_distortion, rate_to_lambda
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.grid import STRIDE
from vrcodec.training.random_maps import draw_maps
from vrcodec.training.recipes import Tune

# Widths beside the widest and the narrowest that take part in a step.
_MIDDLE_WIDTHS = 2
# Squared errors count this many times more where all pixels of a square of this side are equal. A few steps
# there cost the score next to nothing, and are seen at once: white that is not white.
_FLAT_WEIGHT = 4.0
_FLAT_SIDE = 17
# Share of a narrow width's distortion that is measured against the picture of the widest.
_DISTILLED_SHARE = 0.3
# Share of the crops whose level is drawn where the schedule uses a width; the others cover its whole range.
_SCHEDULED_SHARE = 0.5


@dataclass(frozen=True)
class Loss:
    """``total`` () is what is minimised; ``bpp`` and ``mse`` (pixels in [0, 1]) are per sample (B,)."""

    total: Tensor
    bpp: Tensor
    mse: Tensor


def rate_distortion_loss(
    x: Tensor, x_hat: Tensor, likelihoods: Mapping[str, Tensor], rate: Tensor
) -> Loss:
    """(bpp + 255^2 * mean(lambda * error^2)) / sqrt(lambda / lambda_min), mean over the batch.

    Errors are those of what is shown (`squared_errors`). The divisor keeps the gradients of high rates from
    dominating those of low ones; it does not change any sample's optimum. ``rate`` is (B,), or maps
    (B, 1, H / 16, W / 16) of levels, whose divisor is that of their mean level; x is (B, 3, H, W) in [0, 1].
    """
    maps = rate.float().reshape(-1, 1, 1, 1) if rate.dim() == 1 else rate.float()
    bpp = _bits_per_pixel(x[0, 0].numel(), likelihoods)
    errors = F.avg_pool2d(squared_errors(x, x_hat).mean(1, keepdim=True), STRIDE)
    weighted = (rate_to_lambda(maps) * errors).flatten(1).mean(1)
    loss = (bpp + 255.0**2 * weighted) / _divisor(maps.flatten(1).mean(1))
    return Loss(loss.mean(), bpp, errors.flatten(1).mean(1))


def patch_loss(model: VariableRateModel, x: Tensor, level: Tensor) -> Tensor:
    """The rate-distortion loss () of `CropSampler.patches` (B, 3, H, W), flat areas held to their colours.

    ``level`` (B,): the rate; of `slim` one in the reach of a width, which is drawn.
    """
    width, rate = None, level
    if isinstance(model, Slim):
        number = int(torch.randint(len(model.size.widths), ()))
        width, rate = model.size.widths[number], level * model.size.reach[number]
    out = run(model, x, level, width)
    weighted = _weigh_flat_areas(x, squared_errors(x, out.x_hat))
    squared = 255.0**2 * rate_to_lambda(rate) * weighted
    bpp = _bits_per_pixel(x[0, 0].numel(), out.likelihoods)
    return ((bpp + squared) / _divisor(rate)).mean()


def perceptual_loss(
    x: Tensor, x_hat: Tensor, likelihoods: Mapping[str, Tensor], rate: Tensor
) -> Loss:
    """`rate_distortion_loss` with `perceptual_distortion`, and flat areas held to their colours.

    ``rate`` is (B,).
    """
    bpp = _bits_per_pixel(x[0, 0].numel(), likelihoods)
    rate, errors = rate.float(), squared_errors(x, x_hat)
    squared = 255.0**2 * rate_to_lambda(rate) * _weigh_flat_areas(x, errors)
    distortion = perceptual_distortion(squared, ssimulacra2_score(x, x_hat), rate)
    mse = errors.flatten(1).mean(1)
    return Loss(((bpp + distortion) / _divisor(rate)).mean(), bpp, mse)


def _weigh_flat_areas(x: Tensor, errors: Tensor) -> Tensor:
    """Means (B,) of ``errors``, those of pictures x, (B, 3, H, W) both, which count more in flat areas."""
    return (errors * (1 + _FLAT_WEIGHT * _flat_areas(x))).flatten(1).mean(1)


def _flat_areas(x: Tensor) -> Tensor:
    """1 where the pixels of x (B, 3, H, W) around are of one colour, else 0: (B, 1, H, W)."""
    # Where neighbours differ, counted along one axis after the other: extremes of whole squares would take as
    # long as all else in a training step.
    across = (x[..., 1:] != x[..., :-1]).any(1, keepdim=True)
    down = (x[..., 1:, :] != x[..., :-1, :]).any(1, keepdim=True)
    return (~(_in_squares_around(across) | _in_squares_around(down.mT).mT)).float()


def _in_squares_around(steps: Tensor) -> Tensor:
    """Whether one of ``steps`` (B, 1, H, W - 1), from pixel to pixel, is in the square around a pixel."""
    padding = _FLAT_SIDE // 2
    in_rows = _any_of_next(F.pad(steps, (padding, padding)), _FLAT_SIDE - 1)
    return _any_of_next(F.pad(in_rows.mT, (padding, padding)), _FLAT_SIDE).mT


def _any_of_next(true: Tensor, count: int) -> Tensor:
    """Whether any is true of so many along the last axis, from each on of which there are as many."""
    before = F.pad(true.cumsum(-1, dtype=torch.int32), (1, 0))
    return before[..., count:] > before[..., :-count]


def latent_loss(model: HyperpriorModel, y: Tensor, rate: Tensor) -> Loss:
    """What is left of `rate_distortion_loss` where the transforms stand still: the bits.

    ``y`` (B, M, h, w) is that of pictures, before its gains; ``rate`` as there. ``mse`` is unknown: nan.
    """
    gains = model.gains(rate)
    conditions = model.compute_conditions(gains.levels)
    _, likelihoods = code_latents(model, y, gains, conditions)
    bpp = _bits_per_pixel(y.shape[-2] * y.shape[-1] * STRIDE**2, likelihoods)
    level = rate.reshape(len(rate), -1).mean(1)
    return Loss((bpp / _divisor(level)).mean(), bpp, torch.full_like(bpp, torch.nan))


def _bits_per_pixel(pixels: int, likelihoods: Mapping[str, Tensor]) -> Tensor:
    bits = [-torch.log2(p).flatten(1).sum(1) for p in likelihoods.values()]
    return torch.stack(bits).sum(0) / pixels


def _divisor(level: Tensor) -> Tensor:
    """What keeps the gradients of high rates from dominating those of low ones, (B,)."""
    return torch.sqrt(rate_to_lambda(level) / LAMBDA_MIN)


class Objective(Protocol):
    """What a training step asks of a model.

    Levels are drawn first, on the CPU: which crops are of use depends on them.
    """

    def draw_levels(self, count: int) -> Tensor:
        """Random levels in [0, 1] for ``count`` pictures: (count, K)."""

    def loss(self, x: Tensor, levels: Tensor) -> Loss:
        """The loss of pictures (B, 3, H, W) in [0, 1] at ``levels`` (B, K), both where the model is."""


# Of pictures, their reconstructions, likelihoods and rates.
LossFunction = Callable[[Tensor, Tensor, Mapping[str, Tensor], Tensor], Loss]
LOSSES: dict[Tune, LossFunction] = {"psnr": rate_distortion_loss, "ssimulacra2": perceptual_loss}


def choose_objective(model: VariableRateModel, tune: Tune = "psnr") -> Objective:
    """The objective that suits ``model``. Raises UsageError where it is not for what ``tune`` names."""
    uniform = not (isinstance(model, Slim) or model.takes_quality_map)
    if tune != "psnr" and not uniform:
        raise UsageError(
            f"{model.family} is trained for PSNR only; gained, qvrf and qarv also for {tune}"
        )
    if isinstance(model, Slim):
        return SlimmableWidths(model)
    return UniformRates(model, LOSSES[tune]) if uniform else QualityMaps(model)


def stratified_levels(count: int) -> Tensor:
    """Random levels (count,) in [0, 1), in random order, one in each of ``count`` equal parts of it.

    Every step has low and high rates, so that gradients vary less from step to step.
    """
    return (torch.randperm(count) + torch.rand(count)) / count


class UniformRates:
    """A random rate for each picture."""

    def __init__(self, model: VariableRateModel, loss: LossFunction = rate_distortion_loss) -> None:
        self._model = model
        self._loss = loss

    def draw_levels(self, count: int) -> Tensor:
        """The rates, (count, 1)."""
        return stratified_levels(count).unsqueeze(1)

    def rate(self, x: Tensor, levels: Tensor) -> Tensor:
        """The rates, (count,)."""
        return levels[:, 0]

    def loss(self, x: Tensor, levels: Tensor) -> Loss:
        """The loss at these rates."""
        rate = self.rate(x, levels)
        out = run(self._model, x, rate)
        return self._loss(x, out.x_hat, out.likelihoods, rate)


class QualityMaps:
    """A random quality map for each picture."""

    def __init__(self, model: VariableRateModel) -> None:
        self._model = model

    def draw_levels(self, count: int) -> Tensor:
        """The two levels that a map lies between, (count, 2)."""
        return torch.stack((stratified_levels(count), torch.rand(count)), dim=1)

    def rate(self, x: Tensor, levels: Tensor) -> Tensor:
        """Random maps between these levels, (count, 1, H / 16, W / 16)."""
        return draw_maps(x, levels)

    def loss(self, x: Tensor, levels: Tensor) -> Loss:
        """The loss with random maps between these levels."""
        maps = self.rate(x, levels)
        out = run(self._model, x, maps)
        return rate_distortion_loss(x, out.x_hat, out.likelihoods, maps)


class SlimmableWidths:
    """The widest, the narrowest and some other widths in one step; the others are distilled from the widest.

    Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, sections 3.2
    and 3.3.
    """

    def __init__(self, model: Slim) -> None:
        self._model = model
        self._reach = dict(zip(model.size.widths, model.size.reach, strict=True))

    def draw_levels(self, count: int) -> Tensor:
        """For each width, (count, widths); those of a crop lie equally far along the range of every width."""
        position, scheduled = stratified_levels(count), torch.rand(count) < _SCHEDULED_SHARE
        of_widths = [
            torch.where(scheduled, low + (high - low) * position, position)
            for low, high in self._scheduled_ranges
        ]
        return torch.stack(of_widths, dim=1)

    @cached_property
    def _scheduled_ranges(self) -> list[tuple[float, float]]:
        """The levels at which the schedule uses each width, fetched once: no step should wait for a GPU."""
        return [(low, high) for low, high in (self._model.schedule[:, 1:] / RATE_CODE_MAX).tolist()]

    def loss(self, x: Tensor, levels: Tensor) -> Loss:
        """The sum of the losses of the widths, with bpp and mse of the widest."""
        by_width = dict(zip(self._reach, levels.unbind(1), strict=True))
        *others, widest = self._reach
        out = run(self._model, x, by_width[widest], widest)
        rate = by_width[widest] * self._reach[widest]
        loss = rate_distortion_loss(x, out.x_hat, out.likelihoods, rate)
        teacher, total = out.x_hat.detach().clamp(0, 1), loss.total
        middle = (1 + torch.randperm(max(0, len(others) - 1)))[:_MIDDLE_WIDTHS].tolist()
        for width in (*others[:1], *(others[k] for k in middle)):
            out = run(self._model, x, by_width[width], width)
            rate = by_width[width] * self._reach[width]
            total = total + _distilled_loss(x, teacher, out.x_hat, out.likelihoods, rate)
        return Loss(total, loss.bpp, loss.mse)


def _distilled_loss(
    x: Tensor, teacher: Tensor, x_hat: Tensor, likelihoods: Mapping[str, Tensor], rate: Tensor
) -> Tensor:
    """The rate-distortion loss, with a share of its distortion against the picture of the teacher."""
    plain = rate_distortion_loss(x, x_hat, likelihoods, rate)
    lam = rate_to_lambda(rate)
    teacher_mse = squared_errors(teacher, x_hat).flatten(1).mean(1)
    weight = 255.0**2 * lam / torch.sqrt(lam / LAMBDA_MIN)
    return plain.total + _DISTILLED_SHARE * (weight * (teacher_mse - plain.mse)).mean()
