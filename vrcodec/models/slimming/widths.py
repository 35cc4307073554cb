"""What each width of a slimmable model has of its own, and how weights files store what they share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.models.coding.activity import LEVELS, ActivityPrior, Pass
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import KNOTS, log_linear
from vrcodec.models.networks.layers import uninitialised
from vrcodec.models.slimming.slicing import Source, Switches, narrow_state
from vrcodec.rate import RATE_CODE_MAX

NETWORKS = ("analysis_net", "synthesis_net")
_SPREAD = 1.5


def _nearest(level: int) -> int:
    """The number of the prior's level that is nearest to ``level`` in 1/65535, in integers."""
    return (2 * level * (LEVELS - 1) + RATE_CODE_MAX) // (2 * RATE_CODE_MAX)


class Width(nn.Module):
    """What a width has of its own."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        with uninitialised():
            templates = backbone.analysis(size), backbone.synthesis(size)
        named = dict(zip(NETWORKS, templates, strict=True))
        self.switches = nn.ModuleDict({name: Switches(net, name) for name, net in named.items()})
        ramp = torch.linspace(-_SPREAD, _SPREAD, KNOTS).unsqueeze(1)
        self.log_gain = nn.Parameter(ramp.repeat(1, size.latent))
        self.log_inverse_gain = nn.Parameter(-ramp.repeat(1, size.latent))
        self.prior = ActivityPrior(size.latent)
        # No part of the state: their parameters are slices of others.
        self.templates = named

    @cached_property
    def tables(self) -> CodingTables:
        """Those of the prior."""
        return CodingTables(self.prior.tables())

    def passes(self, symbols: Symbols, level: int) -> Iterator[Pass]:
        """What of ``symbols`` (M, h, w) is coded in turn at ``level`` in 1/65535."""
        return self.prior.passes(_nearest(level), symbols)

    def put(self, symbols: Symbols, level: int) -> Stream:
        """Code symbols (M, h, w) of a block at ``level`` in 1/65535."""
        writer = StreamWriter()
        for part in self.passes(symbols, level):
            own = symbols[part.channels][:, part.where] - part.prediction
            writer.put_static(own.reshape(-1), part.tables.reshape(-1), self.tables)
        return writer.finish()

    def get(self, stream: Stream, symbols: Symbols, level: int) -> None:
        """Inverse of `put`: fills ``symbols`` (M, h, w), zeros at first. Raises CorruptError."""
        reader = StreamReader(stream)
        for part in self.passes(symbols, level):
            own = reader.get_static(part.tables.reshape(-1), self.tables)
            symbols[part.channels, part.where] = own.reshape(part.tables.shape) + part.prediction
        reader.finish()

    def state(self, name: str, source: Source) -> dict[str, Tensor]:
        """Parameters of a network at this width, by name."""
        switches = self.switches[name]
        assert isinstance(switches, Switches)
        return narrow_state(self.templates[name], name, source, switches)

    def centres(self, gain: Tensor) -> Tensor:
        """Of y * ``gain`` (B, M, 1, 1), same shape: rounding begins there, so that what hardly varies is zero.

        Without gradients.
        """
        return self.prior.density.centres().detach().to(gain)[:, None, None] * gain.detach()

    def log2_scales(self, gain: Tensor) -> Tensor:
        """log2 of the standard deviation of y * ``gain`` (B, M, 1, 1), same shape, without gradients."""
        deviations = self.prior.density.deviations().detach().to(gain)
        return (deviations[:, None, None] * gain.detach()).log2()

    def table_gains(self) -> Tensor:
        """(LEVELS, M): the gains that the prior knows."""
        levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
        return log_linear(self.log_gain, levels)[..., 0, 0]
