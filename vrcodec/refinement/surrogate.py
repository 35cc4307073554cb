"""A model whose bits and pixels have gradients towards what is coded of a picture."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.models.base import VariableRateModel
from vrcodec.models.coding.factorized import all_blocks
from vrcodec.regions.grid import Block, LatentGrid

# Residuals in steps and their log2 scales, or None, to values between symbols.
Rounding = Callable[[Tensor, Tensor | None], Tensor]
# What is coded, in units that do not depend on the rate.
Wanted = Sequence[Tensor]

Model = TypeVar("Model", bound=VariableRateModel)


class Surrogate(ABC):
    """One picture at one rate. ``grid``: of its latents.

    ``levels``: its rates, a number (1, 1, 1, 1) or one for each sample of y (1, 1, h, w).
    """

    def __init__(self, grid: LatentGrid, levels: Tensor) -> None:
        self.grid = grid
        self.levels = levels

    @property
    def blocks(self) -> list[Block]:
        """What is refined at a time: in coding they do not depend on each other's y."""
        return list(all_blocks(self.grid))

    @abstractmethod
    def wanted(self) -> Wanted:
        """What is coded now, for another surrogate of the same picture to start from."""

    @abstractmethod
    def variables(self, block: Block) -> list[Tensor]:
        """What is coded of a block, in quantisation steps, not rounded."""

    @abstractmethod
    def keep(self, block: Block, variables: Sequence[Tensor]) -> None:
        """Code these from now on."""

    @abstractmethod
    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        """What the synthesis gets of a block, (1, M, h, w) float32, and bits, a number."""

    @abstractmethod
    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        """Pixels (1, 3, 16h, 16w), 0 .. 1, of y_hat (1, M, h, w) in ``window``."""

    @abstractmethod
    def streams(self) -> list[Stream]:
        """What is coded now, rounded and coded as ever, in float64."""


def in_float32(model: Model) -> Model:
    """The same model, but for the modules that choose tables: those are copies in float32."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    for name in model.exact:
        net = copy.deepcopy(model.get_submodule(name))
        twin._modules[name] = net.to(model.device, torch.float32)
    return twin
