"""What a training step minimises: one rate a picture, one map a picture, or several widths at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vrcodec.models import VariableRateModel
from vrcodec.models.slim import Slim
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training.loss import LAMBDA_MIN, Loss, rate_distortion_loss, rate_to_lambda
from vrcodec.training.maps import random_maps

# The model's forward pass, and pictures (B, 3, H, W) in [0, 1].
Objective = Callable[[nn.Module, Tensor], Loss]

# How many widths besides the widest and the narrowest take part in a step.
_MIDDLE_WIDTHS = 2
# The part of a narrow width's distortion that is measured against the widest's picture.
_TAUGHT = 0.3
# The part of the crops whose level is one at which the schedule uses a width; the others go over all it can do.
_SCHEDULED = 0.5


def objective_for(model: VariableRateModel) -> Objective:
    """The objective that suits ``model``."""
    if isinstance(model, Slim):
        return Sandwich(model)
    return with_maps if model.mapped else with_rates


def with_rates(forward: nn.Module, x: Tensor) -> Loss:
    """A random rate for each picture."""
    rate = torch.rand(len(x), device=x.device)
    out = forward(x, rate)
    return rate_distortion_loss(x, out["x_hat"], out["likelihoods"], rate)


def with_maps(forward: nn.Module, x: Tensor) -> Loss:
    """A random quality map for each picture."""
    maps = random_maps(x)
    out = forward(x, maps)
    return rate_distortion_loss(x, out["x_hat"], out["likelihoods"], maps)


class Sandwich:
    """The widest, the narrowest and some other widths in one step; the widest teaches the others.

    Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, sections 3.2
    and 3.3. The loss that comes back is the sum; its bpp and mse are the widest's.
    """

    def __init__(self, model: Slim) -> None:
        self._model = model
        self._reach = dict(zip(model.size.widths, model.size.reach, strict=True))

    def __call__(self, forward: nn.Module, x: Tensor) -> Loss:
        levels = self._levels(x)
        *others, widest = self._reach
        out = forward(x, levels[widest], widest)
        rate = levels[widest] * self._reach[widest]
        loss = rate_distortion_loss(x, out["x_hat"], out["likelihoods"], rate)
        teacher, total = out["x_hat"].detach(), loss.total
        chosen = (1 + torch.randperm(max(0, len(others) - 1)))[:_MIDDLE_WIDTHS].tolist()
        for width in (*others[:1], *(others[k] for k in chosen)):
            out = forward(x, levels[width], width)
            rate = levels[width] * self._reach[width]
            total = total + _taught_loss(x, teacher, out["x_hat"], out["likelihoods"], rate)
        return Loss(total, loss.bpp, loss.mse)

    def _levels(self, x: Tensor) -> dict[int, Tensor]:
        """Random levels (B,) for each width; a crop's lie as far along the range of every one."""
        share, often = torch.rand(2, len(x), device=x.device)
        ends = (self._model.schedule[:, 1:] / RATE_CODE_MAX).tolist()
        return {
            width: torch.where(often < _SCHEDULED, low + (high - low) * share, share)
            for width, (low, high) in zip(self._reach, ends, strict=True)
        }


def _taught_loss(
    x: Tensor, teacher: Tensor, x_hat: Tensor, likelihoods: dict[str, Tensor], rate: Tensor
) -> Tensor:
    """The rate-distortion loss, part of whose distortion is the distance from the teacher's picture."""
    own = rate_distortion_loss(x, x_hat, likelihoods, rate)
    lam = rate_to_lambda(rate)
    apart = (x_hat.float() - teacher).square().flatten(1).mean(1)
    weight = 255.0**2 * lam / torch.sqrt(lam / LAMBDA_MIN)
    return own.total + _TAUGHT * (weight * (apart - own.mse)).mean()
