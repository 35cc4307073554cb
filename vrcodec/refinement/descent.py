"""The search: gradient descent on what is coded of a picture, block by block."""

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
from vrcodec.refinement.rounding import MANY_STEPS, AnnealedRounding, boldness, rounded
from vrcodec.refinement.surrogate import Surrogate
from vrcodec.regions.grid import STRIDE, Block
from vrcodec.regions.window import common, cut, grown, within

# In quantisation steps, of a search that is not long; it falls to this share at the end.
_LEARNING_RATE, _LAST_SHARE = 0.04, 0.05
_MOMENTUM, _SQUARES = 0.8, 0.99
# More than that brings nothing, however much time there is.
_MAX_STEPS = 4 * STEPS[-1]
# Pixels that the synthesis sees at a time: its memory is about 1 KB for each.
_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True)
class Pace:
    """How long to search: ``steps`` a block, or until ``end`` on the monotonic clock for the whole picture."""

    steps: int | None = None
    end: float | None = None

    def progress(self, block: int, blocks: int) -> Iterator[float]:
        """0 .. 1 for each step of number ``block`` of ``blocks``."""
        if self.end is None:
            assert self.steps is not None
            yield from (k / max(1, self.steps - 1) for k in range(self.steps))
            return
        start = time.monotonic()
        seconds = (self.end - start) / (blocks - block)
        for _ in range(_MAX_STEPS):
            spent = time.monotonic() - start
            if spent >= seconds:
                return
            yield spent / seconds

    @property
    def expected_steps(self) -> int:
        """About how many steps a block gets; of the clock it is not known."""
        return MANY_STEPS if self.steps is None else self.steps


class Search:
    """Refines what ``surrogate`` codes. ``halo``: samples of y that a pixel can see on each side."""

    def __init__(self, surrogate: Surrogate, distortion: Distortion, halo: int) -> None:
        self._surrogate = surrogate
        self._distortion = distortion
        self._halo = halo
        self._blocks = surrogate.blocks
        self._y_hat: Tensor | None = None

    def run(self, pace: Pace, advance: Callable[[float], None]) -> None:
        """Search, and tell ``advance`` what share is done. KeyboardInterrupt keeps what was found so far."""
        count = len(self._blocks)
        if count > 1:
            self._y_hat = self._decoded()
        for number, block in enumerate(self._blocks):
            self._refine(block, pace, number, partial(_of_block, advance, number, count))

    @torch.no_grad()
    def _decoded(self) -> Tensor:
        """What the synthesis gets, of the whole picture."""
        parts = [
            (block, self._surrogate.decode(block, self._surrogate.variables(block), rounded)[0])
            for block in self._blocks
        ]
        grid, first = self._surrogate.grid, parts[0][1]
        whole = first.new_empty(1, first.shape[1], grid.height, grid.width)
        for block, part in parts:
            cut(whole, block).copy_(part)
        return whole

    def _refine(
        self,
        block: Block,
        pace: Pace,
        number: int,
        advance: Callable[[float], None],
    ) -> None:
        variables = [v.requires_grad_() for v in self._surrogate.variables(block)]
        rounding = AnnealedRounding(self._surrogate.levels.device, pace.expected_steps)
        descent = _Adam(variables, _LEARNING_RATE * boldness(pace.expected_steps))
        try:
            for done in pace.progress(number, len(self._blocks)):
                rounding.cool(done)
                y_hat, bits = self._surrogate.decode(block, variables, rounding)
                pull = self._pull(block, y_hat.detach())
                torch.autograd.backward([bits, y_hat], [torch.ones_like(bits), pull])
                descent.step(done)
                advance(done)
        finally:
            with torch.no_grad():
                self._keep(block, [v.detach() for v in variables])

    def _keep(self, block: Block, variables: Sequence[Tensor]) -> None:
        self._surrogate.keep(block, variables)
        if self._y_hat is not None:
            y_hat, _ = self._surrogate.decode(block, variables, rounded)
            cut(self._y_hat, block).copy_(y_hat)

    def _pull(self, block: Block, y_hat: Tensor) -> Tensor:
        """The gradient of the distortion towards ``y_hat`` of a block."""
        leaf = y_hat.requires_grad_()
        # Half of what lies around the block is measured, too; the other half is there to be seen.
        seen = self._around(block, self._halo)
        measured = self._around(block, self._halo // 2)
        for strip in self._strips(measured):
            rows = grown(strip, self._halo, (seen.bottom, seen.right))
            window = Block(max(rows.top, seen.top), rows.bottom, seen.left, seen.right)
            x_hat = self._surrogate.synthesise(self._inserted(block, leaf, window), window)
            inside = within(strip, window)
            top, bottom, left, right = (
                STRIDE * n for n in (inside.top, inside.bottom, inside.left, inside.right)
            )
            self._distortion.of(x_hat[..., top:bottom, left:right], strip).backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return leaf.grad

    def _around(self, block: Block, by: int) -> Block:
        grid = self._surrogate.grid
        return grown(block, by, (grid.height, grid.width))

    def _strips(self, window: Block) -> Iterator[Block]:
        width = STRIDE * STRIDE * (window.right - window.left)
        units = max(1, _STRIP_PIXELS // width) if self._distortion.additive else window.bottom
        for top in range(window.top, window.bottom, units):
            yield Block(top, min(window.bottom, top + units), window.left, window.right)

    def _inserted(self, block: Block, y_hat: Tensor, window: Block) -> Tensor:
        """What the synthesis gets of ``window``, with ``y_hat`` in ``block``."""
        if self._y_hat is None:
            return cut(y_hat, window).contiguous(memory_format=torch.channels_last)
        whole = cut(self._y_hat, window).clone(memory_format=torch.channels_last)
        both = common(block, window)
        cut(whole, within(both, window)).copy_(cut(y_hat, within(both, block)))
        return whole


def _of_block(advance: Callable[[float], None], number: int, count: int, done: float) -> None:
    advance((number + done) / count)


class _Adam:
    """Kingma and Ba, ICLR 2015. PyTorch's own imports a second's worth of compiler before its first step."""

    def __init__(self, variables: Sequence[Tensor], first_length: float) -> None:
        self._variables = variables
        self._first_length = first_length
        self._means = [torch.zeros_like(v) for v in variables]
        self._squares = [torch.zeros_like(v) for v in variables]
        self._steps = 0

    @torch.no_grad()
    def step(self, progress: float) -> None:
        """One step; ``progress`` 0 .. 1 of the search chooses its length."""
        self._steps += 1
        falling = 0.5 * (1 + math.cos(math.pi * progress))
        rate = self._first_length * (_LAST_SHARE + (1 - _LAST_SHARE) * falling)
        length = rate / (1 - _MOMENTUM**self._steps)
        correction = math.sqrt(1 - _SQUARES**self._steps)
        for v, mean, square in zip(self._variables, self._means, self._squares, strict=True):
            grad = v.grad
            assert grad is not None
            mean.lerp_(grad, 1 - _MOMENTUM)
            square.mul_(_SQUARES).addcmul_(grad, grad, value=1 - _SQUARES)
            scale = square.sqrt().div_(correction).add_(1e-8)
            v.addcdiv_(mean, scale, value=-length)
            v.grad = None
