"""Many pictures on a GPU: those of one size at once, each batch copied while networks run on the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vrcodec.models.base import Latents, Pixels, VariableRateModel

# At once: beyond that there is nothing to gain, and features of a pixel take 110 bytes.
_MOST_PIXELS = 1 << 23


def analyse_together(model: VariableRateModel, pictures: Sequence[Pixels]) -> list[Latents]:
    """The latents of ``pictures``, (H, W, 3) uint8 of any sizes, in their order."""
    found: dict[int, Latents] = {}
    batches = list(_batches(pictures))
    stacks = (_stacked([pictures[k] for k in batch]) for batch in batches)
    for batch, x in zip(batches, _uploaded(stacks, model.device), strict=True):
        found.update(zip(batch, model.analyses(x), strict=True))
    return [found[k] for k in range(len(pictures))]


def _batches(pictures: Sequence[Pixels]) -> Iterator[list[int]]:
    """Positions of pictures of one size, as many as are done at once."""
    sizes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for k, picture in enumerate(pictures):
        sizes[picture.shape].append(k)
    for (height, width, _), own in sizes.items():
        most = max(1, _MOST_PIXELS // (height * width))
        yield from (own[start : start + most] for start in range(0, len(own), most))


def _stacked(pictures: Sequence[Pixels]) -> Tensor:
    """(B, 3, H, W), channels last."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _uploaded(batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """``batches`` on ``device``."""
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def sent(x: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(copies):
            return x.pin_memory().to(device, non_blocking=True), copies.record_event()

    def arrived(x: Tensor, event: torch.cuda.Event) -> Tensor:
        networks = torch.cuda.current_stream(device)
        networks.wait_event(event)
        # Its memory is not to be used for the next copy before they are done with it.
        x.record_stream(networks)
        return x

    under_way: tuple[Tensor, torch.cuda.Event] | None = None
    for batch in batches:
        before, under_way = under_way, sent(batch)
        if before:
            yield arrived(*before)
    if under_way:
        yield arrived(*under_way)
