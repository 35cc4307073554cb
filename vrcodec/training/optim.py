"""Optimizers, gradient guard and weight average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from vrcodec.models.networks.layers import Pointwise
from vrcodec.models.networks.module import Module
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.muon import Muon

# A gradient whose norm is this many times the median would undo many steps; its step is left out.
OUTLIER_RATIO = 10.0
# So many norms must be known first.
MIN_NORMS = 20


def make_optimizers(
    model: Module, name: Literal["adam", "muon"], learning_rate: float, group: ProcessGroup
) -> list[Optimizer]:
    """``adam`` for what learns, or ``muon`` for its matrices of 1x1 convolutions and Adam for the rest."""
    matrices: list[nn.Parameter] = []
    if name == "muon":
        matrices = [
            p
            for m in model.modules()
            if isinstance(m, Pointwise)
            for p in m.parameters()
            if p.ndim == 2 and p.requires_grad
        ]
    matrix_ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in matrix_ids]
    optimizers: list[Optimizer] = [Adam(others, learning_rate, fused=True)]
    if matrices:
        optimizers.append(Muon(matrices, learning_rate, group))
    return optimizers


def set_learning_rate(optimizers: Iterable[Optimizer], value: float) -> None:
    """Set the learning rate of every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = value


class GradientGuard:
    """Clips the gradient, and rejects steps whose norm is far above the recent ones.

    All of it happens on ``device``: nothing waits for it. ``rejected`` (), int64: how many steps were.
    """

    def __init__(self, clip_norm: float, device: str, window: int = 100) -> None:
        self._clip_norm = clip_norm
        # Infinite where there has been no step yet.
        self._norms = torch.full((window,), math.inf, device=device)
        self.rejected = torch.zeros((), dtype=torch.int64, device=device)

    def clip(self, parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
        """Clip in place; returns whether to reject the step (), bool, and the norm before clipping ()."""
        norm = nn.utils.clip_grad_norm_(parameters, self._clip_norm).detach()
        # Those that are infinite are sorted last.
        count = self._norms.isfinite().sum()
        middle = (count - 1).clamp_min(0).div(2, rounding_mode="floor")
        median = self._norms.sort().values.gather(0, middle.unsqueeze(0))[0]
        outlying = (count >= MIN_NORMS) & (norm > OUTLIER_RATIO * median)
        finite = norm.isfinite()
        self._norms = torch.where(finite, torch.cat((self._norms[1:], norm[None])), self._norms)
        reject = outlying | ~finite
        self.rejected += reject
        return reject, norm

    def forget(self) -> None:
        """Forget the norms so far: from here on, gradients are of another magnitude."""
        self._norms.fill_(math.inf)

    def state(self) -> dict[str, Tensor]:
        """What `load` continues from."""
        return {"norms": self._norms, "rejected": self.rejected}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""
        self._norms = state["norms"].to(self._norms)
        self.rejected = state["rejected"].to(self.rejected)


class WeightAverage:
    """Exponential moving average of what learns of a model, and of its other floating-point state."""

    def __init__(self, model: Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self.weights = {k: v.detach().clone() for k, v in _float_state(model).items()}

    @torch.no_grad()
    def update(self, model: Module) -> None:
        """Move towards ``model``; by more at early steps, so that the initial weights are soon forgotten."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        current = _float_state(model)
        averages = [self.weights[k] for k in current]
        torch._foreach_lerp_(averages, list(current.values()), 1 - decay)

    def state(self) -> dict[str, Any]:
        """What `load` continues from."""
        return {"weights": self.weights, "updates": self._updates}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._updates = state["updates"]
        for key, value in self.weights.items():
            value.copy_(state["weights"][key])


def _float_state(model: Module) -> dict[str, Tensor]:
    """What has an average: what learns, and buffers."""
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    state = model.state_dict()
    return {k: v for k, v in state.items() if v.is_floating_point() and k not in still}
