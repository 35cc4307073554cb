"""Analysis of many pictures in batches of one size; a GPU copies a batch while it analyses the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vrcodec.models.base import Latents, Pixels, VariableRateModel

# Larger batches gain nothing, and features take 110 bytes a pixel.
_MAX_BATCH_PIXELS = 1 << 23


def analyse_in_batches(model: VariableRateModel, pictures: Sequence[Pixels]) -> list[Latents]:
    """The latents of ``pictures``, (H, W, 3) uint8 of any sizes, in their order."""
    latents: dict[int, Latents] = {}
    batches = list(_batches(pictures))
    stacks = (_stack([pictures[k] for k in batch]) for batch in batches)
    for batch, x in zip(batches, _upload(stacks, model.device), strict=True):
        latents.update(zip(batch, model.analyse_batch(x), strict=True))
    return [latents[k] for k in range(len(pictures))]


def _batches(pictures: Sequence[Pixels]) -> Iterator[list[int]]:
    """Indices of pictures of one size, batch by batch."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for k, picture in enumerate(pictures):
        by_shape[picture.shape].append(k)
    for (height, width, _), indices in by_shape.items():
        batch = max(1, _MAX_BATCH_PIXELS // (height * width))
        yield from (indices[k : k + batch] for k in range(0, len(indices), batch))


def _stack(pictures: Sequence[Pixels]) -> Tensor:
    """Pictures (H, W, 3) -> (B, 3, H, W), channels last."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _upload(batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Copy ``batches`` to ``device``, each while its user works on the one before."""
    if device.type != "cuda":
        yield from batches
        return
    copy_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start_copy(x: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(copy_stream):
            return x.pin_memory().to(device, non_blocking=True), copy_stream.record_event()

    def finish_copy(x: Tensor, event: torch.cuda.Event) -> Tensor:
        compute_stream = torch.cuda.current_stream(device)
        compute_stream.wait_event(event)
        # Keeps its memory from being reused by the next copy while networks still read it.
        x.record_stream(compute_stream)
        return x

    in_flight: tuple[Tensor, torch.cuda.Event] | None = None
    for batch in batches:
        previous, in_flight = in_flight, start_copy(batch)
        if previous:
            yield finish_copy(*previous)
    if in_flight:
        yield finish_copy(*in_flight)
