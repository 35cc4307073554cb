"""One width of a slimmable model: the parameters that it does not share, and coding with its prior."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.coding.activity import RATE_LEVELS, ActivityPrior, CodingPass
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import initial_ramp, interpolate_gains
from vrcodec.models.networks.module import Module, ModuleDict, parameter, uninitialised
from vrcodec.models.slimming.slicing import ParameterSource, SwitchableAffine, narrow_state
from vrcodec.rate import RATE_CODE_MAX

NETWORKS = ("analysis_net", "synthesis_net")
# Gains span exp(-1.5) .. exp(1.5) at first.
_SPREAD = 1.5


def _nearest_rate_level(level: int) -> int:
    """Number of the prior's rate level nearest to ``level`` in 1/65535; integer arithmetic."""
    return (2 * level * (RATE_LEVELS - 1) + RATE_CODE_MAX) // (2 * RATE_CODE_MAX)


class Width(Module):
    """The parameters of one width: gains, prior, and scales and shifts of its slices of the shared networks."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        with uninitialised():
            templates = backbone.analysis(size), backbone.synthesis(size)
        networks = dict(zip(NETWORKS, templates, strict=True))
        self.switches = ModuleDict(
            {name: SwitchableAffine(net, name) for name, net in networks.items()}
        )
        self.log_gain = parameter(initial_ramp(_SPREAD, size.latent))
        self.log_inverse_gain = parameter(-initial_ramp(_SPREAD, size.latent))
        self.prior = ActivityPrior(size.latent)
        # A plain dict, no part of the state: their parameters are slices of others.
        self.templates = networks

    @cached_property
    def tables(self) -> CodingTables:
        """The tables of the prior."""
        return CodingTables(self.prior.tables())

    def passes(self, symbols: Symbols, level: int) -> Iterator[CodingPass]:
        """The passes of the prior over ``symbols`` (M, h, w), at ``level`` in 1/65535."""
        return self.prior.passes(_nearest_rate_level(level), symbols)

    def encode_block(self, symbols: Symbols, level: int) -> Stream:
        """Code symbols (M, h, w) of a block at ``level`` in 1/65535."""
        writer = StreamWriter()
        for part in self.passes(symbols, level):
            residual = symbols[part.channels][:, part.mask] - part.prediction
            writer.put_static(residual.reshape(-1), part.tables.reshape(-1), self.tables)
        return writer.finish()

    def decode_block(self, stream: Stream, symbols: Symbols, level: int) -> None:
        """Inverse of `encode_block`: fills ``symbols`` (M, h, w), zeros at first. Raises CorruptError."""
        reader = StreamReader(stream)
        for part in self.passes(symbols, level):
            residual = reader.get_static(part.tables.reshape(-1), self.tables)
            symbols[part.channels, part.mask] = (
                residual.reshape(part.tables.shape) + part.prediction
            )
        reader.finish()

    def network_state(self, name: str, source: ParameterSource) -> dict[str, Array]:
        """Parameters of a network at this width, by name."""
        return narrow_state(self.templates[name], name, source, self.switches[name])

    def rounding_centres(self, gain: Array) -> Array:
        """Modes of y * ``gain`` (B, M, 1, 1), same shape, without gradients.

        Rounded relative to them, channels that hardly vary become zero.
        """
        kernels = kernels_of(gain)
        modes = kernels.like(kernels.detach(self.prior.density.modes()), gain)
        return modes[:, None, None] * kernels.detach(gain)

    def log2_scales(self, gain: Array) -> Array:
        """log2 of the standard deviation of y * ``gain`` (B, M, 1, 1), same shape, without gradients."""
        kernels = kernels_of(gain)
        deviations = kernels.detach(self.prior.density.standard_deviations())
        return kernels.xp.log2(kernels.like(deviations, gain)[:, None, None] * kernels.detach(gain))

    def table_gains(self) -> npt.NDArray[np.float64]:
        """Gains (RATE_LEVELS, M) at the rate levels of the prior."""
        log_gain = kernels_of(self.log_gain).to_numpy(self.log_gain)
        gains = interpolate_gains(log_gain, np.linspace(0, 1, RATE_LEVELS))
        return gains[..., 0, 0]  # type: ignore[no-any-return]
