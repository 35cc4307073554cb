"""What a training step minimises: one rate a picture, one map a picture, or several widths at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vrcodec.models import VariableRateModel
from vrcodec.models.families.slim import Slim
from vrcodec.models.trade_off import LAMBDA_MIN, rate_to_lambda
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training.loss import Loss, rate_distortion_loss
from vrcodec.training.random_maps import random_maps

# Of a model, and pictures (B, 3, H, W) in [0, 1].
Objective = Callable[[Any, Tensor], Loss]

# How many widths besides the widest and the narrowest take part in a step.
_MIDDLE_WIDTHS = 2
# The part of a narrow width's distortion that is measured against the widest's picture.
_TAUGHT = 0.3
# The part of the crops whose level is one at which the schedule uses a width; the others go over all it can do.
_SCHEDULED = 0.5


def objective_for(model: VariableRateModel) -> Objective:
    """The objective that suits ``model``."""
    if isinstance(model, Slim):
        return with_widths
    return with_maps if model.mapped else with_rates


def with_rates(model: VariableRateModel, x: Tensor) -> Loss:
    """A random rate for each picture."""
    rate = levels_of_batch(len(x), x.device)
    out = model(x, rate)
    return rate_distortion_loss(x, out["x_hat"], out["likelihoods"], rate)


def levels_of_batch(count: int, device: torch.device) -> Tensor:
    """Random levels (count,), each uniform in [0, 1), one in each of ``count`` equal parts of it.

    So that no step sees high rates only, and none low ones only: gradients differ less from step to step.
    """
    return (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count


def with_maps(model: VariableRateModel, x: Tensor) -> Loss:
    """A random quality map for each picture."""
    maps = random_maps(x)
    out = model(x, maps)
    return rate_distortion_loss(x, out["x_hat"], out["likelihoods"], maps)


def with_widths(model: Slim, x: Tensor) -> Loss:
    """The widest, the narrowest and some other widths in one step; the widest teaches the others.

    Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, sections 3.2
    and 3.3. The loss that comes back is the sum; its bpp and mse are the widest's.
    """
    levels, reach = _levels(model, x), dict(zip(model.size.widths, model.size.reach, strict=True))
    *others, widest = reach
    out = model(x, levels[widest], widest)
    rate = levels[widest] * reach[widest]
    loss = rate_distortion_loss(x, out["x_hat"], out["likelihoods"], rate)
    teacher, total = out["x_hat"].detach(), loss.total
    chosen = (1 + torch.randperm(max(0, len(others) - 1)))[:_MIDDLE_WIDTHS].tolist()
    for width in (*others[:1], *(others[k] for k in chosen)):
        out = model(x, levels[width], width)
        rate = levels[width] * reach[width]
        total = total + _taught_loss(x, teacher, out["x_hat"], out["likelihoods"], rate)
    return Loss(total, loss.bpp, loss.mse)


def _levels(model: Slim, x: Tensor) -> dict[int, Tensor]:
    """Random levels (B,) for each width; a crop's lie as far along the range of every one."""
    share, often = levels_of_batch(len(x), x.device), torch.rand(len(x), device=x.device)
    ends = (model.schedule[:, 1:] / RATE_CODE_MAX).tolist()
    return {
        width: torch.where(often < _SCHEDULED, low + (high - low) * share, share)
        for width, (low, high) in zip(model.size.widths, ends, strict=True)
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
