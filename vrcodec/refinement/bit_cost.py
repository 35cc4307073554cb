"""Differentiable rate: bits of symbols by the tables that code them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.rans import CodingTables

# Larger symbols cost as much as this one; only scales far outside of use reach it.
_MAX_SYMBOL = 1024


class BitCostTables:
    """Bits of symbols -1024 .. 1024 by each of ``tables``, interpolated linearly between symbols and tables."""

    def __init__(self, tables: CodingTables, device: torch.device) -> None:
        symbols = np.arange(-_MAX_SYMBOL, _MAX_SYMBOL + 1, dtype=np.int32)
        bits = [symbol_bits(symbols, np.full(len(symbols), k), tables) for k in range(len(tables))]
        self._bits = torch.from_numpy(np.stack(bits)).float().to(device)

    def total_bits(self, symbols: Tensor, table: Tensor) -> Tensor:
        """Sum of the bits of ``symbols``; ``table``: real-valued table numbers, same shape or broadcast."""
        bits: Tensor = _BilinearBits.apply(symbols, table.expand_as(symbols), self._bits)
        return bits


class _BilinearBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, symbols: Tensor, table: Tensor, bits: Tensor) -> Tensor:
        tables, row = bits.shape
        value = symbols.clamp(-_MAX_SYMBOL, _MAX_SYMBOL - 1e-3)
        low = value.floor()
        lower = table.clamp(0, tables - 1).floor().clamp_(max=tables - 2)
        symbol_part, table_part = value - low, table.clamp(0, tables - 1) - lower
        index = (lower * row + low + _MAX_SYMBOL).long()
        flat = bits.view(-1)
        # Of the lower table and of the next one: bits, and their slope over the symbol.
        first, second = flat[index], flat[index + row]
        first_slope, second_slope = flat[index + 1] - first, flat[index + row + 1] - second
        first, second = first + first_slope * symbol_part, second + second_slope * symbol_part
        inside = (table > 0) & (table < tables - 1)
        symbol_gradient = first_slope + (second_slope - first_slope) * table_part
        ctx.save_for_backward(symbol_gradient, (second - first) * inside)
        return (first + (second - first) * table_part).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        symbol_gradient, table_gradient = ctx.saved_tensors
        return grad * symbol_gradient, grad * table_gradient, None
