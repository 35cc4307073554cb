"""The differentiable stand-in of a model: bits and reconstruction as functions of the latents of a picture."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.models.base import VariableRateModel, put_parameters
from vrcodec.regions.grid import Block, LatentGrid

# From residuals, in quantisation steps, and their log2 scales or None, to values near symbols.
Rounding = Callable[[Tensor, Tensor | None], Tensor]
# Latents before quantisation, in units that do not depend on the rate.
ContinuousLatents = Sequence[Tensor]

Model = TypeVar("Model", bound=VariableRateModel)


class Surrogate(ABC):
    """One picture at one rate. ``grid``: of its latents, which the surrogate holds and updates.

    ``levels``: its rates, a number (1, 1, 1, 1) or one for each sample of y (1, 1, h, w).
    """

    def __init__(self, grid: LatentGrid, levels: Tensor) -> None:
        self.grid = grid
        self.levels = levels

    @property
    def blocks(self) -> list[Block]:
        """The units of refinement: blocks whose entropy coding does not depend on each other's y."""
        return self.grid.blocks()

    @abstractmethod
    def continuous_latents(self) -> ContinuousLatents:
        """The latents as they are now, from which a surrogate at another rate can start."""

    @abstractmethod
    def variables(self, block: Block) -> list[Tensor]:
        """Copies of the latents of a block, in quantisation steps, not rounded: what is optimised."""

    @abstractmethod
    def store(self, block: Block, variables: Sequence[Tensor]) -> None:
        """Put ``variables`` in place of the latents of a block."""

    @abstractmethod
    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        """y_hat of a block, (1, M, h, w) float32, and its bits, a scalar."""

    @abstractmethod
    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        """Pixels (1, 3, 16h, 16w), 0 .. 1, of y_hat (1, M, h, w) in ``window``."""

    @abstractmethod
    def streams(self) -> list[Stream]:
        """The latents as they are now, quantised and entropy coded by the model itself, in float64."""


def make_float32_twin(model: Model) -> Model:
    """A shallow copy of ``model`` whose modules that choose tables, exact in the model, are in float32."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    for name in model.exact_modules:
        net = copy.deepcopy(model.get_submodule(name))
        put_parameters(net, model.place)
        twin._modules[name] = net
    return twin
