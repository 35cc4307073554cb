"""The same table indices by different kernels: how much noise the guard band has to absorb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import numpy.typing as npt
import torch

from vrcodec.models.base import Latents, RateState
from vrcodec.models.hyperprior import HyperpriorModel

# Latent rows of a strip: few, so that a picture has many.
_STRIP_UNITS = 12

Kernel = Callable[[HyperpriorModel], AbstractContextManager[None]]


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
def _usual(model: HyperpriorModel) -> Iterator[None]:
    yield


@contextmanager
def _contiguous(model: HyperpriorModel) -> Iterator[None]:
    model.to(memory_format=torch.contiguous_format)
    try:
        yield
    finally:
        model.to(memory_format=torch.channels_last)


@contextmanager
def _one_thread(model: HyperpriorModel) -> Iterator[None]:
    with threads(1):
        yield


@contextmanager
def _without_onednn(model: HyperpriorModel) -> Iterator[None]:
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@contextmanager
def _strips(model: HyperpriorModel) -> Iterator[None]:
    before, model.strip_units = model.strip_units, _STRIP_UNITS
    try:
        yield
    finally:
        model.strip_units = before


# The first is what the others are held against.
KERNELS: dict[str, Kernel] = {
    "as usual": _usual,
    "contiguous": _contiguous,
    "one thread": _one_thread,
    "without oneDNN": _without_onednn,
    "in strips": _strips,
}


def table_indices(
    model: HyperpriorModel, latents: Latents, rate: RateState
) -> dict[str, npt.NDArray[np.float64]]:
    """Real-valued indices of all samples of y, in coding order, by every kernel."""
    # Computed once: a symbol of z that is rounded otherwise is another file, not noise.
    latents = model.conditioned(latents, rate)
    z = model.quantise_z(latents, rate)
    found = {}
    for name, kernel in KERNELS.items():
        with kernel(model):
            coded = model.quantise_y(latents, z, rate)
            found[name] = np.concatenate([t for block in coded for _, t in block.steps])
    return {name: t.astype(np.float64) for name, t in found.items()}
