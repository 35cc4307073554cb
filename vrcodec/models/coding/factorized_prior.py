"""A factorized prior: a density and a table for each channel, and coding a latent with it, block by block.

In training it is a differentiable likelihood of noisy latents, in coding integer tables, as in `entropy`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.rans import CodingTables, Indices, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.bitstream.tables import stack_tables, trim_pmf
from vrcodec.models.coding.entropy import LIKELIHOOD_FLOOR, TableBuffers
from vrcodec.regions.grid import Block

if TYPE_CHECKING:
    from compressai.entropy_models import EntropyBottleneck


class FactorizedPrior(TableBuffers):
    """One learned density per channel of z (Balle et al. 2018, appendix 6.1), frozen to tables.

    ``density`` is CompressAI's `EntropyBottleneck` and exists in training only: importing that
    package takes seconds, and coding needs nothing but the tables.
    """

    density: EntropyBottleneck | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.density = None

    def attach_density(self) -> None:
        """Create the trainable density."""
        with warnings.catch_warnings():
            # What that package calls at import is deprecated in PyTorch: nothing that a user could change.
            warnings.simplefilter("ignore", FutureWarning)
            from compressai.entropy_models import EntropyBottleneck

        self.density = EntropyBottleneck(self.channels, likelihood_bound=LIKELIHOOD_FLOOR)
        # Medians stay at zero: symbols are plain integers, and no auxiliary loss is needed.
        self.density.quantiles.requires_grad_(False).zero_()

    def likelihood(self, z: Tensor, *, noisy: bool) -> Tensor:
        """Likelihood of z (B, N, h, w) with added noise (training) or rounded (evaluation)."""
        if self.density is None:
            raise RuntimeError("attach_density() comes before training")
        likelihood: Tensor = self.density(z.float(), training=noisy)[1]
        return likelihood

    @torch.no_grad()
    def freeze(self, reach: int = 1024) -> None:
        """Tabulate the density of every channel over the integers that matter."""
        grid = torch.arange(-reach, reach + 1, dtype=torch.float32)
        pmf = self.likelihood(grid.expand(1, self.channels, 1, -1), noisy=False)
        rows = pmf[0, :, 0].double().cpu().numpy()
        # The density's own floor is no probability.
        rows = np.where(rows > 1.5 * LIKELIHOOD_FLOOR, rows, 0.0)
        self.freeze_tables(stack_tables([trim_pmf(row) for row in rows]))


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
