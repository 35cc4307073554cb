"""Copying batches to a GPU, each while it works on the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def upload_ahead(batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Copy ``batches`` to ``device``, each while its user works on the one before."""
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
