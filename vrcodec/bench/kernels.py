"""The same table indices by different kernels: how much noise the guard band has to absorb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.models import Guarded
from vrcodec.models.base import Latents, RateState
from vrcodec.models.coding.hyperprior import HyperpriorModel
from vrcodec.models.coding.symbols import CodedBlock
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.networks.layers import Pointwise
from vrcodec.regions.tiling import Tiling

# Latent rows of a strip: few, so that a picture has many.
_TILE_SIDE = 12

Kernel = Callable[[Guarded], AbstractContextManager[None]]
# The same symbols, with table indices computed anew.
Again = Callable[[], Iterator[CodedBlock]]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _usual(model: Guarded) -> Iterator[None]:
    yield


@contextmanager
def _contiguous(model: Guarded) -> Iterator[None]:
    model.to(memory_format=torch.contiguous_format)
    try:
        yield
    finally:
        model.to(memory_format=torch.channels_last)


@contextmanager
def _one_thread(model: Guarded) -> Iterator[None]:
    with threads(1):
        yield


@contextmanager
def _without_onednn(model: Guarded) -> Iterator[None]:
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@contextmanager
def _tiles(model: Guarded) -> Iterator[None]:
    before, model.tiling = model.tiling, Tiling(side=_TILE_SIDE)
    try:
        yield
    finally:
        model.tiling = before


@contextmanager
def other_order(model: object) -> Iterator[None]:
    """Every sum over channels in two parts, as another library might."""
    usual = Pointwise.forward

    def in_two_parts(self: Pointwise, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        if not half:
            return usual(self, x)
        weight = self.weight[:, :, None, None]
        first = F.conv2d(x[:, :half], weight[:, :half])
        return first + F.conv2d(x[:, half:], weight[:, half:], self.bias)

    Pointwise.forward = in_two_parts  # type: ignore[method-assign]
    try:
        yield
    finally:
        Pointwise.forward = usual  # type: ignore[method-assign]


# The first is what the others are held against.
KERNELS: dict[str, Kernel] = {
    "as usual": _usual,
    "contiguous": _contiguous,
    "one thread": _one_thread,
    "without oneDNN": _without_onednn,
    "in tiles": _tiles,
    "in another order": other_order,
}


def table_indices(
    model: Guarded, latents: Latents, rate: RateState
) -> dict[str, npt.NDArray[np.float64]]:
    """Real-valued indices of all guarded symbols, in coding order, by every kernel."""
    again = (
        _of_levels(model, latents, rate) if isinstance(model, Qarv) else _of_y(model, latents, rate)
    )
    found = {}
    for name, kernel in KERNELS.items():
        with kernel(model):
            found[name] = np.concatenate([t for block in again() for _, t in block.steps])
    return {name: t.astype(np.float64) for name, t in found.items()}


# What is decoded first is computed once: a symbol that is rounded otherwise is another file, not noise.


def _of_y(model: HyperpriorModel, latents: Latents, rate: RateState) -> Again:
    latents = model.conditioned(latents, rate)
    z = model.quantise_z(latents, rate)
    return lambda: model.quantise_y(latents, z, rate)


def _of_levels(model: Qarv, latents: Latents, rate: RateState) -> Again:
    coded = list(model.coded_blocks(latents, rate))
    return lambda: (model.coded_again(block, rate) for block in coded)
