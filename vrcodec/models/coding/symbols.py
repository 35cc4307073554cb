"""Between networks and the coder: symbols with the tables that their scales choose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.bitstream.guard_band import Reals
from vrcodec.bitstream.rans import CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.models.coding.entropy import scale_index
from vrcodec.regions.grid import Block

# What is coded in one step: symbols and real-valued table indices, both (n,).
Step = tuple[Symbols, Reals]


@dataclass(frozen=True)
class CodedBlock:
    """What is coded, step by step, of one block of the latent grid."""

    block: Block
    steps: list[Step]


def coded_step(symbols: Tensor, log2_scale: Tensor) -> Step:
    """``symbols`` whose scales are ``log2_scale``, same shape, for the coder."""
    values: Symbols = symbols.int().cpu().numpy().reshape(-1)
    return values, scale_index(log2_scale).cpu().numpy().reshape(-1)


def read_step(reader: StreamReader, log2_scale: Tensor, tables: CodingTables) -> Tensor:
    """The next symbols of a stream: shape, dtype and device of ``log2_scale``. Raises CorruptError."""
    t = scale_index(log2_scale).cpu().numpy()
    symbols = reader.get_guarded(t.reshape(-1), tables)
    return torch.from_numpy(symbols.reshape(t.shape)).to(log2_scale)
