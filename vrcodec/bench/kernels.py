"""Table indices by different kernels: how much numerical noise the guard band has to absorb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.kernels import kernels_of
from vrcodec.models import GuardedModel
from vrcodec.models.base import Latents, RateParameters
from vrcodec.models.coding.coding_steps import CodedBlock
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.networks.gdn_backbone import Deconvolution
from vrcodec.models.networks.layers import Pointwise
from vrcodec.regions.tiling import Tiling

# Latents along the side of a tile: few, so that a picture has many tiles.
_TILE_SIDE = 12

Kernel = Callable[[GuardedModel], AbstractContextManager[None]]
# Computes the table indices of the same symbols anew.
Recompute = Callable[[], Iterator[CodedBlock]]


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let torch compute with ``count`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _default_kernels(model: GuardedModel) -> Iterator[None]:
    yield


@contextmanager
def _contiguous_layout(model: GuardedModel) -> Iterator[None]:
    model.map(torch.Tensor.contiguous)
    try:
        yield
    finally:
        model.map(_by_channels_last)


def _by_channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@contextmanager
def _one_thread(model: GuardedModel) -> Iterator[None]:
    with use_threads(1):
        yield


@contextmanager
def _without_onednn(model: GuardedModel) -> Iterator[None]:
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@contextmanager
def _small_tiles(model: GuardedModel) -> Iterator[None]:
    before, model.tiling = model.tiling, Tiling(side=_TILE_SIDE)
    try:
        yield
    finally:
        model.tiling = before


@contextmanager
def split_channel_sums(model: object) -> Iterator[None]:
    """Split every sum over channels in two, as another library might."""
    original, original_deconvolution = Pointwise.forward, Deconvolution.forward

    def forward_in_halves(self: Pointwise, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        if not half:
            return original(self, x)
        weight = self.weight[:, :, None, None]
        first = F.conv2d(x[:, :half], weight[:, :half])
        return first + F.conv2d(x[:, half:], weight[:, half:], self.bias)

    def deconvolve_in_halves(self: Deconvolution, x: Tensor) -> Tensor:
        half, deconvolve = x.shape[1] // 2, kernels_of(x).deconvolve
        first: Tensor = deconvolve(x[:, :half], self.weight[:half], 0 * self.bias)
        return first + deconvolve(x[:, half:], self.weight[half:], self.bias)

    Pointwise.forward = forward_in_halves  # type: ignore[method-assign]
    Deconvolution.forward = deconvolve_in_halves  # type: ignore[method-assign]
    try:
        yield
    finally:
        Pointwise.forward = original  # type: ignore[method-assign]
        Deconvolution.forward = original_deconvolution  # type: ignore[method-assign]


# The first is the reference for the others.
KERNELS: dict[str, Kernel] = {
    "as usual": _default_kernels,
    "contiguous": _contiguous_layout,
    "one thread": _one_thread,
    "without oneDNN": _without_onednn,
    "in tiles": _small_tiles,
    "in another order": split_channel_sums,
}


def table_indices(
    model: GuardedModel, latents: Latents, rate: RateParameters, twin: GuardedModel | None = None
) -> dict[str, npt.NDArray[np.float64]]:
    """Real-valued indices of all guarded symbols, in coding order, by every kernel.

    ``twin``: the same model ready to compute with NumPy, which then is one more.
    """
    recompute = _recompute(model, latents, rate)
    indices = {}
    for name, kernel in KERNELS.items():
        with kernel(model):
            indices[name] = _concatenate(recompute())
    if twin is not None:
        in_numpy = Latents(kernels_of(latents.y).to_numpy(latents.y))
        own_rate = twin.rate_parameters(rate.code)
        indices["NumPy"] = _concatenate(_recompute(twin, in_numpy, own_rate)())
    return indices


def _concatenate(blocks: Iterator[CodedBlock]) -> npt.NDArray[np.float64]:
    """Real-valued indices of all symbols."""
    return np.concatenate([t for block in blocks for _, t in block.steps]).astype(np.float64)


def _recompute(model: GuardedModel, latents: Latents, rate: RateParameters) -> Recompute:
    compute = _recompute_levels if isinstance(model, Qarv) else _recompute_y
    return compute(model, latents, rate)  # type: ignore[arg-type]


# Symbols that are decoded earlier are computed once: one that rounds differently makes another file, not noise.


def _recompute_y(model: HyperpriorModel, latents: Latents, rate: RateParameters) -> Recompute:
    latents = model.latents_at_rate(latents, rate)
    z = model.quantise_z(latents, rate)
    return lambda: model.quantise_y(latents, z, rate)


def _recompute_levels(model: Qarv, latents: Latents, rate: RateParameters) -> Recompute:
    coded = list(model.coded_blocks(latents, rate))
    return lambda: (model.recompute_tables(block, rate) for block in coded)
