"""Gradient descent on the latents of a picture, block by block: minimises bits + lambda x distortion."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vrcodec.refinement.distortion import Distortion
from vrcodec.refinement.effort import STEPS
from vrcodec.refinement.rounding import AnnealedRounding, round_residual
from vrcodec.refinement.surrogate import Surrogate
from vrcodec.regions.grid import STRIDE, Block
from vrcodec.regions.window import crop_to, expand, intersect, relative_to

# In quantisation steps for a gradient of a bit a step; it decays to this share of itself.
_LEARNING_RATE, _FINAL_SHARE = 0.01, 0.05
_MOMENTUM = 0.3
# In quantisation steps: z and the coarse latents have far larger gradients than y.
_LONGEST_STEP = 0.1
# More steps bring nothing, however much time there is.
_MAX_STEPS = 4 * STEPS[-1]
# A step on all blocks takes about so many times what coding and decoding them took: 0.8 to 1.6 by family.
_STEP_COST = 1.2
# Pixels that the synthesis sees at a time: its memory is about 1 KB for each.
_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True)
class StepBudget:
    """How long to search: ``steps`` a block, or until ``deadline`` on the monotonic clock for all blocks.

    With a deadline, ``steps`` is how many there will be by estimate: how boldly to begin depends on it.
    """

    steps: int
    deadline: float | None = None

    @classmethod
    def until(cls, deadline: float, coding_seconds: float) -> StepBudget:
        """The time from now to ``deadline``. ``coding_seconds``: what coding and decoding the picture took.

        The estimate is at most the steps of the highest level: noise and temperatures are known up to there.
        """
        # Clocks with coarse ticks see no time pass while a tiny picture is coded.
        seconds_per_step = _STEP_COST * max(coding_seconds, 1e-3)
        steps = (deadline - time.monotonic()) / seconds_per_step
        return cls(round(min(max(1.0, steps), STEPS[-1])), deadline)

    def progress(self, block: int, blocks: int) -> Iterator[float]:
        """Progress 0 .. 1, one value for each step on block number ``block`` of ``blocks``."""
        if self.deadline is None:
            yield from (k / max(1, self.steps - 1) for k in range(self.steps))
            return
        start = time.monotonic()
        seconds = (self.deadline - start) / (blocks - block)
        for _ in range(_MAX_STEPS):
            spent = time.monotonic() - start
            if spent >= seconds:
                return
            yield spent / seconds


class LatentOptimiser:
    """Optimises the latents of ``surrogate``. ``halo``: samples of y on each side on which a pixel depends."""

    def __init__(self, surrogate: Surrogate, distortion: Distortion, halo: int) -> None:
        self._surrogate = surrogate
        self._distortion = distortion
        self._halo = halo
        self._blocks = surrogate.blocks
        self._y_hat: Tensor | None = None

    def run(self, budget: StepBudget, on_progress: Callable[[float], None]) -> None:
        """Optimise, and report the share that is done. An interrupt keeps the latents as they are by then."""
        count = len(self._blocks)
        if count > 1:
            self._y_hat = self._decode_all()
        for number, block in enumerate(self._blocks):
            report = partial(_report_block, on_progress, number, count)
            self._optimise_block(block, budget, number, report)

    @torch.no_grad()
    def _decode_all(self) -> Tensor:
        """y_hat of the whole picture, (1, M, h, w)."""
        parts = [
            (
                block,
                self._surrogate.decode(block, self._surrogate.variables(block), round_residual)[0],
            )
            for block in self._blocks
        ]
        grid, first = self._surrogate.grid, parts[0][1]
        whole = first.new_empty(1, first.shape[1], grid.height, grid.width)
        for block, part in parts:
            crop_to(whole, block).copy_(part)
        return whole

    def _optimise_block(
        self,
        block: Block,
        budget: StepBudget,
        number: int,
        on_progress: Callable[[float], None],
    ) -> None:
        variables = [v.requires_grad_() for v in self._surrogate.variables(block)]
        rounding = AnnealedRounding(self._surrogate.levels.device, budget.steps)
        optimiser = _Momentum(variables)
        try:
            for progress in budget.progress(number, len(self._blocks)):
                rounding.set_progress(progress)
                y_hat, bits = self._surrogate.decode(block, variables, rounding)
                gradient = self._distortion_gradient(block, y_hat.detach())
                torch.autograd.backward([bits, y_hat], [torch.ones_like(bits), gradient])
                if not all(v.grad is not None and v.grad.isfinite().all() for v in variables):
                    # The networks have broken down here; what was found before is as good as it gets.
                    return
                optimiser.step(progress)
                on_progress(progress)
        finally:
            with torch.no_grad():
                self._store(block, [v.detach() for v in variables])

    def _store(self, block: Block, variables: Sequence[Tensor]) -> None:
        self._surrogate.store(block, variables)
        if self._y_hat is not None:
            y_hat, _ = self._surrogate.decode(block, variables, round_residual)
            crop_to(self._y_hat, block).copy_(y_hat)

    def _distortion_gradient(self, block: Block, y_hat: Tensor) -> Tensor:
        """The gradient of the distortion with respect to ``y_hat`` of a block."""
        leaf = y_hat.requires_grad_()
        # Distortion is measured on half the halo around the block; the other half is context for the synthesis.
        visible = self._expand(block, self._halo)
        measured = self._expand(block, self._halo // 2)
        for strip in self._strips(measured):
            expanded = expand(strip, self._halo, (visible.bottom, visible.right))
            window = Block(
                max(expanded.top, visible.top), expanded.bottom, visible.left, visible.right
            )
            x_hat = self._surrogate.synthesise(self._paste_block(block, leaf, window), window)
            inside = relative_to(strip, window)
            top, bottom, left, right = (
                STRIDE * n for n in (inside.top, inside.bottom, inside.left, inside.right)
            )
            self._distortion.of_window(x_hat[..., top:bottom, left:right], strip).backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return leaf.grad

    def _expand(self, block: Block, by: int) -> Block:
        grid = self._surrogate.grid
        return expand(block, by, (grid.height, grid.width))

    def _strips(self, window: Block) -> Iterator[Block]:
        width = STRIDE * STRIDE * (window.right - window.left)
        rows = max(1, _STRIP_PIXELS // width) if self._distortion.additive else window.bottom
        for top in range(window.top, window.bottom, rows):
            yield Block(top, min(window.bottom, top + rows), window.left, window.right)

    def _paste_block(self, block: Block, y_hat: Tensor, window: Block) -> Tensor:
        """The input of the synthesis for ``window``: the whole picture's y_hat, with ``y_hat`` in ``block``."""
        if self._y_hat is None:
            return crop_to(y_hat, window).contiguous(memory_format=torch.channels_last)
        whole = crop_to(self._y_hat, window).clone(memory_format=torch.channels_last)
        overlap = intersect(block, window)
        crop_to(whole, relative_to(overlap, window)).copy_(
            crop_to(y_hat, relative_to(overlap, block))
        )
        return whole


def _report_block(
    on_progress: Callable[[float], None], number: int, count: int, progress: float
) -> None:
    on_progress((number + progress) / count)


class _Momentum:
    """Gradient descent with momentum; no step of a sample is longer than ``_LONGEST_STEP``.

    A quantisation step is about as dear everywhere in y, which is what gains learnt, so the gradient is as good
    a direction as any that is scaled sample by sample. Adam, whose steps are as long where there is little to
    win as where there is much, saves less unless steps are many (docs/EFFORT.md).
    """

    def __init__(self, variables: Sequence[Tensor]) -> None:
        self._variables = variables
        self._means = [torch.zeros_like(v) for v in variables]
        self._steps = 0

    @torch.no_grad()
    def step(self, progress: float) -> None:
        """One step; its length decays with ``progress`` 0 .. 1."""
        self._steps += 1
        decay = 0.5 * (1 + math.cos(math.pi * progress))
        rate = _LEARNING_RATE * (_FINAL_SHARE + (1 - _FINAL_SHARE) * decay)
        length = rate / (1 - _MOMENTUM**self._steps)
        for v, mean in zip(self._variables, self._means, strict=True):
            assert v.grad is not None
            mean.lerp_(v.grad, 1 - _MOMENTUM)
            v.sub_((mean * length).clamp_(-_LONGEST_STEP, _LONGEST_STEP))
            v.grad = None
