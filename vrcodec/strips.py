"""Bounded-memory evaluation: a large picture in horizontal strips with halos.

A convolutional network's output row depends on few input rows, so strips that overlap by the receptive
field give the same rows as the whole picture would. How a reader cuts is its own business: the
bitstream does not know, and the guard band keeps the strip height from choosing tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Working memory of the float part is about 100 bytes a pixel.
_PIXELS_PER_STRIP = 1 << 22


@dataclass(frozen=True)
class StripGeometry:
    """How one network maps rows. ``unit_in`` input rows become ``unit_out`` output rows.

    ``halo``: units on each side that a unit's output depends on.
    """

    unit_in: int
    unit_out: int
    halo: int


def default_strip_units(width: int, pixels_per_unit_row: int) -> int:
    """Units per strip that keep a strip near four megapixels. ``width`` in pixels."""
    return max(1, _PIXELS_PER_STRIP // max(1, width * pixels_per_unit_row))


def strips(
    run: Callable[..., Tensor], x: Tensor, geometry: StripGeometry, units: int, *beside: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first output row, rows of run(x, *beside)) for (B, C, H, W), ``units`` at a time.

    Tensors ``beside`` x are cut at the same places; one of a single row is the same for all.
    """
    total = x.shape[-2] // geometry.unit_in
    for top in range(0, total, units):
        bottom = min(total, top + units)
        low, high = max(0, top - geometry.halo), min(total, bottom + geometry.halo)
        parts = (_rows(t, low, high, total) for t in beside)
        out = run(x[..., low * geometry.unit_in : high * geometry.unit_in, :], *parts)
        first, last = (top - low) * geometry.unit_out, (bottom - low) * geometry.unit_out
        yield top * geometry.unit_out, out[..., first:last, :]


def _rows(x: Tensor, low: int, high: int, total: int) -> Tensor:
    """Units ``low`` .. ``high`` - 1 of ``total``."""
    if x.shape[-2] == 1:
        return x
    unit = x.shape[-2] // total
    return x[..., low * unit : high * unit, :]


def in_strips(
    run: Callable[..., Tensor], x: Tensor, geometry: StripGeometry, units: int, *beside: Tensor
) -> Tensor:
    """run(x, *beside), computed ``units`` at a time."""
    parts = [part for _, part in strips(run, x, geometry, units, *beside)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)
