"""Latents that are kept: where transforms stand still, y of a crop is the same in every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.errors import UsageError
from vrcodec.models import VariableRateModel
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.passes import analyse
from vrcodec.training.objectives import Loss, Objective, QualityMaps, UniformRates, latent_loss
from vrcodec.training.recipes import Recipe


@dataclass(frozen=True)
class Drawn:
    """What a step draws: crops ``x`` (B, 3, H, W) in [0, 1] at ``levels`` (B, K), as `Objective` has them.

    ``patches``: small pictures, likewise, or None; ``patch_levels`` (B,): their rates.
    """

    x: Tensor
    levels: Tensor
    patches: Tensor | None
    patch_levels: Tensor


@dataclass(frozen=True)
class Latents:
    """``y`` (B, M, h, w), before its gains, at ``rate``: (B,), or maps (B, 1, h, w). On the host."""

    y: Tensor
    rate: Tensor


class KeptLatents:
    """Latents of what the first ``steps`` draw, in host memory; later steps learn from them again."""

    def __init__(
        self, model: HyperpriorModel, objective: UniformRates | QualityMaps, steps: int
    ) -> None:
        self._model = model
        self._objective = objective
        self.steps = steps
        self._kept: dict[int, tuple[Latents, Latents | None]] = {}

    def at_step(self, step: int, draw: Callable[[int], Drawn]) -> tuple[Latents, Latents | None]:
        """Those of crops, and of patches if there are any. ``draw``: what a step draws."""
        number = step % self.steps
        if number not in self._kept:
            self._kept[number] = self._analyse(draw(number))
        return self._kept[number]

    def loss(self, latents: Latents) -> Loss:
        """That of ``latents``, computed where the model is."""
        device = next(self._model.parameters()).device
        y, rate = (t.to(device, non_blocking=True) for t in (latents.y, latents.rate))
        return latent_loss(self._model, y, rate)

    def _analyse(self, drawn: Drawn) -> tuple[Latents, Latents | None]:
        of_crops = self._latents(drawn.x, self._objective.rate(drawn.x, drawn.levels))
        if drawn.patches is None:
            return of_crops, None
        return of_crops, self._latents(drawn.patches, drawn.patch_levels)

    @torch.no_grad()
    def _latents(self, x: Tensor, rate: Tensor) -> Latents:
        levels = self._model.gains(rate).levels
        y = analyse(self._model, x, self._model.compute_conditions(levels))
        return Latents(y.cpu(), rate.cpu())


def keep_latents(
    model: VariableRateModel, objective: Objective, recipe: Recipe
) -> KeptLatents | None:
    """Memory for ``recipe.distinct_crops``, whole steps of them; None where each step draws new ones.

    Raises UsageError where the transforms learn, too.
    """
    if not recipe.distinct_crops:
        return None
    if recipe.learns != "prior":
        raise UsageError("latents stay the same only where transforms do: add --only prior")
    assert isinstance(model, HyperpriorModel)
    assert isinstance(objective, UniformRates | QualityMaps)
    return KeptLatents(model, objective, max(1, recipe.distinct_crops // recipe.batch))
