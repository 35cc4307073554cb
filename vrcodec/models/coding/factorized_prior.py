"""A factorized prior: a table for each channel, and coding a latent with it, block by block.

In training it is a differentiable likelihood of noisy latents (`vrcodec.models.learning.factorized_density`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vrcodec.bitstream.rans import CodingTables, Indices, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.models.coding.entropy import TableBuffers
from vrcodec.regions.grid import Block

if TYPE_CHECKING:
    from vrcodec.models.learning.factorized_density import FactorizedDensity


class FactorizedPrior(TableBuffers):
    """One learned density per channel of z (Balle et al. 2018, appendix 6.1), frozen to tables.

    ``density`` exists in training only: coding needs nothing but the tables.
    """

    density: FactorizedDensity | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.density = None

    def freeze(self) -> None:
        """Tabulate the density of every channel over the integers that matter."""
        if self.density is None:
            raise RuntimeError("attach_training() comes before freezing")
        self.freeze_tables(self.density.tabulate())


def put_block(writer: StreamWriter, latent: Symbols, block: Block, tables: CodingTables) -> None:
    """Add the samples of ``latent`` (C, h, w) in ``block``; table c is that of channel c."""
    part = latent[block.slices]
    writer.put_static(part.reshape(-1), _channel_tables(part.shape), tables)


def get_block(reader: StreamReader, latent: Symbols, block: Block, tables: CodingTables) -> None:
    """Inverse of `put_block`: fills the samples of ``latent`` in ``block``. Raises CorruptError."""
    window = block.slices
    shape = latent[window].shape
    latent[window] = reader.get_static(_channel_tables(shape), tables).reshape(shape)


def _channel_tables(shape: tuple[int, ...]) -> Indices:
    """The tables of symbols (C, h, w), flattened: each that of its channel."""
    channels, height, width = shape
    return np.repeat(np.arange(channels, dtype=np.int16), height * width)
