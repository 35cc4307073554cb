"""Coding a latent block by block with one table for each channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vrcodec.bitstream.rans import CodingTables, Indices, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.regions.grid import Block, LatentGrid


def put_block(writer: StreamWriter, latent: Symbols, block: Block, tables: CodingTables) -> None:
    """Add the samples of ``latent`` (C, h, w) in ``block``; table c is that of channel c."""
    part = latent[block.window]
    writer.put_static(part.reshape(-1), _tables_of(part.shape), tables)


def get_block(reader: StreamReader, latent: Symbols, block: Block, tables: CodingTables) -> None:
    """Inverse of `put_block`: fills ``latent``."""
    window = block.window
    shape = latent[window].shape
    latent[window] = reader.get_static(_tables_of(shape), tables).reshape(shape)


def all_blocks(grid: LatentGrid) -> Iterator[Block]:
    """Blocks in the order of their streams."""
    for band in grid.bands():
        yield from band


def _tables_of(shape: tuple[int, ...]) -> Indices:
    """For symbols (C, h, w) in order: the table of their channel, flat."""
    channels, height, width = shape
    return np.repeat(np.arange(channels, dtype=np.int16), height * width)
