"""Optimizer, learning-rate schedule, gradient guard and weight average."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Muon, Optimizer

from vrcodec.models.networks.layers import Pointwise

# A gradient whose norm is this many times the median would undo many steps; its step is left out.
OUTLIER_RATIO = 10.0


def make_optimizers(
    model: nn.Module, name: Literal["adam", "muon"], learning_rate: float
) -> list[Optimizer]:
    """``adam`` for everything, or ``muon`` for the matrices of 1x1 convolutions and Adam for the rest."""
    matrices: list[nn.Parameter] = []
    if name == "muon":
        matrices = [
            p
            for m in model.modules()
            if isinstance(m, Pointwise)
            for p in m.parameters()
            if p.ndim == 2
        ]
    matrix_ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in matrix_ids]
    optimizers: list[Optimizer] = [Adam(others, learning_rate, fused=True)]
    if matrices:
        optimizers.append(
            Muon(matrices, learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def learning_rate_factor(step: int, progress: float, warmup: int, final: float) -> float:
    """Linear warm-up in steps, then cosine in ``progress`` (0 .. 1 of the budget) down to ``final``."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return min(1.0, (step + 1) / warmup) * (final + (1 - final) * cosine)


def set_learning_rate(optimizers: Iterable[Optimizer], value: float) -> None:
    """Set the learning rate of every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = value


class GradientGuard:
    """Clips the gradient, and rejects steps whose norm is far above the recent ones."""

    def __init__(self, clip_norm: float, window: int = 100) -> None:
        self._clip_norm = clip_norm
        self._norms: deque[float] = deque(maxlen=window)

    def clip(self, parameters: Iterable[nn.Parameter]) -> tuple[bool, float]:
        """Clip in place; returns (whether to accept the step, the norm before clipping)."""
        norm = float(nn.utils.clip_grad_norm_(parameters, self._clip_norm))
        median = statistics.median(self._norms) if len(self._norms) >= 20 else math.inf
        if not math.isfinite(norm):
            return False, norm
        self._norms.append(norm)
        return norm <= OUTLIER_RATIO * median, norm


class WeightAverage:
    """Exponential moving average of a model's floating-point state."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {k: v.detach().clone() for k, v in _float_state(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards ``model``; by more at early steps, so that the initial weights are soon forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = _float_state(model)
        averages = [self.state[k] for k in current]
        torch._foreach_lerp_(averages, list(current.values()), 1 - decay)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for key, value in self.state.items():
            value.copy_(state[key])


def _float_state(model: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
