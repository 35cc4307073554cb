"""Muon, which orthogonalises the updates of matrices: many at once, shared among the processes.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the step size is that of Liu
et al., "Muon is Scalable for LLM Training" (2025), section 2.2, so that Adam's learning rate fits.
`torch.optim.Muon` computes the same, but one matrix after the other, all of them on every rank, and in bfloat16
on every processor: without instructions for it, that takes six times as long as all the rest of a step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vrcodec.models.device import float_dtype
from vrcodec.training.distributed import ProcessGroup

_MOMENTUM = 0.95
# The quintic polynomial of the iteration, and how often it is applied.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MIN_NORM = 1e-7
# Root mean square of an update of Adam, by the paper.
_ADAM_RMS = 0.2

Matrices = Sequence[nn.Parameter]


class Muon(Optimizer):
    """Muon with Nesterov momentum 0.95 and no weight decay, for matrices (A, B).

    ``found_inf`` (), float32, set from outside as for PyTorch's fused Adam: a step is left out where it is 1.
    No step waits for the device.
    """

    found_inf: Tensor | None = None

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, group: ProcessGroup
    ) -> None:
        super().__init__(list(parameters), {"lr": learning_rate})
        self._group = group

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient, which must be the same ones on every rank."""
        if closure is not None:
            raise NotImplementedError("a closure would have to run on all ranks")
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            self._update(_share_work(matrices, self._group.world_size), group["lr"])

    def _update(self, shares: Sequence[Sequence[Matrices]], learning_rate: float) -> None:
        """Update the matrices ``shares[rank]``, in batches of one size; each rank orthogonalises its share."""
        directions = [[self._advance(batch) for batch in share] for share in shares]
        for direction in directions[self._group.rank]:
            dtype = float_dtype(direction.device, "auto")
            direction.copy_(orthogonalise(direction.to(dtype)))
        self._group.exchange(directions)
        for batch, direction in zip(chain(*shares), chain(*directions), strict=True):
            scale = _ADAM_RMS * math.sqrt(max(direction.shape[-2:]))
            update = self._unless_rejected(-learning_rate * scale * direction, 0.0)
            torch._foreach_add_(list(batch), _unstack(update, batch))

    def _advance(self, batch: Matrices) -> Tensor:
        """Advance the momenta of matrices of one size; returns the directions to go, (n, A, B) with A <= B."""
        gradients = torch.stack([_as_wide(p.grad) for p in batch if p.grad is not None])
        momenta = [self._momentum(p) for p in batch]
        before = torch.stack([_as_wide(m) for m in momenta])
        after = self._unless_rejected(before.lerp(gradients, 1 - _MOMENTUM), before)
        torch._foreach_copy_(momenta, _unstack(after, batch))
        return gradients.lerp(after, _MOMENTUM)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum_buffer"]
        return momentum

    def _unless_rejected(self, value: Tensor, otherwise: Tensor | float) -> Tensor:
        """``value``, or ``otherwise`` where the gradient of this step was rejected: it may be NaN."""
        if self.found_inf is None:
            return value
        return torch.where(self.found_inf == 0, value, otherwise)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Make all singular values of ``matrices`` (n, A, B), A <= B, roughly 1: Newton and Schulz's iteration."""
    a, b, c = _COEFFICIENTS
    norms = matrices.float().norm(dim=(1, 2), keepdim=True).clamp_min(_MIN_NORM)
    x = matrices / norms.to(matrices)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _share_work(matrices: Matrices, world_size: int) -> list[list[Matrices]]:
    """For each rank, its share of ``matrices`` in batches of one size: about equal work for all."""
    work = [0] * world_size
    shares: list[dict[tuple[int, int], list[nn.Parameter]]]
    shares = [defaultdict(list) for _ in range(world_size)]
    for matrix in sorted(matrices, key=_work, reverse=True):
        rank = work.index(min(work))
        low, high = sorted(matrix.shape)
        shares[rank][low, high].append(matrix)
        work[rank] += _work(matrix)
    return [list(share.values()) for share in shares]


def _work(matrix: Tensor) -> int:
    """Multiplications of an iteration."""
    low, high = sorted(matrix.shape)
    return low * low * (2 * high + low)


def _as_wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _unstack(stacked: Tensor, batch: Matrices) -> list[Tensor]:
    """The matrices of ``stacked`` (n, A, B), each lying as its parameter in ``batch`` does."""
    pairs = zip(stacked.unbind(), batch, strict=True)
    return [matrix if matrix.shape == p.shape else matrix.T for matrix, p in pairs]
