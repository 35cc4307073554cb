"""What symbols cost by the very tables that code them, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.rans import CodingTables

# Symbols beyond this cost as much as it does; only scales far outside of use reach it.
_REACH = 1024


class Prices:
    """Bits of symbols -1024 .. 1024 by each of ``tables``; between two symbols or two tables, in proportion."""

    def __init__(self, tables: CodingTables, device: torch.device) -> None:
        symbols = np.arange(-_REACH, _REACH + 1, dtype=np.int32)
        bits = [symbol_bits(symbols, np.full(len(symbols), k), tables) for k in range(len(tables))]
        self._bits = torch.from_numpy(np.stack(bits)).float().to(device)

    def total(self, symbols: Tensor, table: Tensor) -> Tensor:
        """Sum of the bits of ``symbols``, coded by real-valued numbers ``table``, same shape or broadcast."""
        bits: Tensor = _Total.apply(symbols, table.expand_as(symbols), self._bits)
        return bits


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, symbols: Tensor, table: Tensor, bits: Tensor) -> Tensor:
        tables, row = bits.shape
        value = symbols.clamp(-_REACH, _REACH - 1e-3)
        low = value.floor()
        lower = table.clamp(0, tables - 1).floor().clamp_(max=tables - 2)
        along, across = value - low, table.clamp(0, tables - 1) - lower
        at = (lower * row + low + _REACH).long()
        flat = bits.view(-1)
        here, beyond = flat[at], flat[at + row]
        rise, rise_beyond = flat[at + 1] - here, flat[at + row + 1] - beyond
        here, beyond = here + rise * along, beyond + rise_beyond * along
        inside = (table > 0) & (table < tables - 1)
        ctx.save_for_backward(rise + (rise_beyond - rise) * across, (beyond - here) * inside)
        return (here + (beyond - here) * across).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        by_symbol, by_table = ctx.saved_tensors
        return grad * by_symbol, grad * by_table, None
