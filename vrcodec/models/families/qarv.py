"""`qarv`: a hierarchical VAE (Duan et al., "QARV: Quantization-Aware ResNet VAE for Lossy Image Compression",
TPAMI 2023) that decodes coarse to fine, and on every device.

The top-down path (`networks.hierarchy`) chooses the tables of all but the first latent, so it runs in float64;
the transforms between 1/16 and pixels are those of the other families. Each block of the latent grid is
coded by itself: its border looks like that of a picture. What only the encoder needs is apart: a decoder
neither loads nor reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.symbol_coding import StreamWriter
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import CorruptError
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import (
    Latents,
    RateParameters,
    VariableRateModel,
    estimate_latent_bits,
    register,
)
from vrcodec.models.coding.coding_steps import (
    CodedBlock,
    QuantisedSource,
    ReplayedSource,
    StreamSource,
)
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.entropy import GaussianConditional, round_with_dead_zone
from vrcodec.models.coding.tiled_transforms import Network, analyse_in_tiles
from vrcodec.models.gradients import without_gradients
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_gains
from vrcodec.models.networks.hierarchy import (
    ALL_PHASES,
    LatentSource,
    LatentSpec,
    TopDownPath,
    scale_sizes,
)
from vrcodec.models.networks.layers import Pointwise, set_to_zero
from vrcodec.models.networks.modulation import condition_net
from vrcodec.models.networks.module import Module, parameter
from vrcodec.models.networks.posterior import Posterior
from vrcodec.rate import rate_from_code
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.timing import stage

_CONDITIONS = 16
# The latents at 1/64 and at 1/32; those at 1/16 are groups of channels of y.
_COARSE = ((LatentSpec(64),), (LatentSpec(64),))
# Residual blocks of a level at 1/64, 1/32 and 1/16.
_BLOCKS = (2, 2, 1)


@dataclass(frozen=True)
class ContinuousRate(RateParameters):
    """``rate``: r in [0, 1], (1,) float64 on the CPU."""

    rate: Array


class EncoderSide(Module):
    """What only the encoder needs."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.analysis_net = backbone.analysis(size)
        self.posterior = Posterior(size.latent, size.prior, _latent_specs(size))


def _latent_specs(size: BackboneSize) -> tuple[tuple[LatentSpec, ...], ...]:
    """Latents at 1/64, 1/32 and 1/16. The first group of y, its coarsest content, comes in three phases."""
    first, *others = size.groups
    interlaced = (LatentSpec(first, (phase,)) for phase in ALL_PHASES)
    return (*_COARSE, (*interlaced, *map(LatentSpec, others)))


@register
class Qarv(VariableRateModel):
    """Latents at 1/64, 1/32 and 1/16 on the shared backbone; ``size.prior``: width of the top-down path."""

    family = "qarv"
    method = 5
    exact_modules = ("condition_net", "descent")

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.encoder: EncoderSide | None = None
        self.condition_net = condition_net(_CONDITIONS)
        self.descent = TopDownPath(size.prior, _latent_specs(size), _CONDITIONS, _BLOCKS)
        self.gaussian = GaussianConditional()
        self.out = Pointwise(size.prior, size.latent)
        set_to_zero(self.out)
        self.log_restoration = parameter(np.zeros((KNOTS, size.latent), np.float32))
        self.synthesis_net = backbone.synthesis(size)

    def attach_encoder(self) -> None:
        self.encoder = EncoderSide(self.size)

    def attach_densities(self) -> None:
        if self.encoder is None:
            self.attach_encoder()

    def freeze(self) -> None:
        self.gaussian.freeze()

    @property
    def levels(self) -> int:
        """Number of latents."""
        return sum(map(len, _latent_specs(self.size)))

    # --- the rate ---

    def rate_parameters(self, code: int) -> ContinuousRate:
        return ContinuousRate(code, self.rate_value(rate_from_code(code)))

    def scale_tables(self) -> TableSet:
        """The tables of the Gaussian."""
        return self.gaussian.tables()

    def mean_log2_gain(self, rate: RateParameters) -> float:
        """The mean over the channels of y."""
        return float(self._log2_gains(rate).mean())

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> float:
        """From the magnitudes of y in quantisation steps."""
        log2_gains = self._log2_gains(rate)
        return estimate_latent_bits(latents.y, kernels_of(log2_gains).xp.exp2(log2_gains))

    @without_gradients
    def _log2_gains(self, rate: RateParameters) -> Array:
        """log2 gains of y, at the first phase of its samples: (1, M, 1, 1) float64."""
        assert isinstance(rate, ContinuousRate)
        finest = (level for level in self.descent.levels()[-1] if 0 in level.spec.phases)
        gains = [level.log2_gains(rate.rate) for level in finest]
        return kernels_of(rate.rate).xp.concatenate(gains, axis=1)[..., None]

    def round(self, residual: Array, log2_scale: Array) -> Array:
        """Symbols of ``residual``, same shape, with a dead zone."""
        return round_with_dead_zone(residual, kernels_of(log2_scale).detach(log2_scale))

    def attached_encoder(self) -> EncoderSide:
        """What only the encoder needs."""
        if self.encoder is None:
            raise RuntimeError("attach_encoder() comes before encoding")
        return self.encoder

    def decode_top_down(
        self, rate: Array, size: Sequence[int], latent_source: LatentSource
    ) -> Array:
        """Input of the synthesis, (B, M, h, w) with (h, w) = ``size``, given values by ``latent_source``.

        The top-down path runs in the dtype and on the device of ``rate`` (B,), what follows it in float32 where
        the synthesis runs.
        """
        conditions = self.condition_net(as_channels(2 * rate[:, None] - 1))
        sizes = scale_sizes(*size)
        state, y_hat = self.descent(conditions, rate, sizes, latent_source)
        kernels = kernels_of(state)
        y_hat, rate, state = (kernels.like(x, self.out.weight) for x in (y_hat, rate, state))
        restored = kernels.float32(y_hat) * interpolate_gains(
            self.log_restoration, kernels.float32(rate)
        )
        return restored + kernels.float32(self.out(state))

    # --- coding ---

    def compute_latents(self, x: Array) -> Array:
        net = self.attached_encoder().analysis_net
        return analyse_in_tiles(net, x, self.size.halo, self.tiling, self.place)

    def compress(self, latents: Latents, rate: RateParameters) -> list[Stream]:
        """Quantise and code, level by level in each block."""
        return self.write_streams(self.coded_blocks(latents, rate))

    def write_streams(self, coded_blocks: Iterable[CodedBlock]) -> list[Stream]:
        """Code the blocks of `coded_blocks`: one stream each."""
        streams = []
        for coded in coded_blocks:
            with stage("coding"):
                writer = StreamWriter()
                for number, (symbols, t) in enumerate(coded.steps):
                    if number:
                        writer.end_level()
                    writer.put_guarded(symbols, t, self.tables)
                streams.append(writer.finish())
        return streams

    @without_gradients
    def coded_blocks(self, latents: Latents, rate: RateParameters) -> Iterator[CodedBlock]:
        """Quantise every block by itself: a step is a level."""
        for block in LatentGrid(*latents.y.shape[-2:]).blocks():
            yield self.quantise(self.block_posterior(latents, block), rate, block)

    def block_posterior(self, latents: Latents, block: Block) -> LatentSource:
        """Posterior means of the latents of a block."""
        with stage("posterior"):
            y = latents.y[0][block.slices][None]
            return self.attached_encoder().posterior(kernels_of(y).channels_last(y))

    @without_gradients
    def quantise(self, posterior: LatentSource, rate: RateParameters, block: Block) -> CodedBlock:
        """Symbols and table indices of a block with these posterior means, level by level."""
        assert isinstance(rate, ContinuousRate)
        source = QuantisedSource(posterior, self.round)
        self._decode_exactly(rate, block, source)
        return CodedBlock(block, source.steps)

    @without_gradients
    def recompute_tables(self, coded: CodedBlock, rate: RateParameters) -> CodedBlock:
        """The same symbols, with table indices computed anew, as a decoder would."""
        assert isinstance(rate, ContinuousRate)
        source = ReplayedSource(coded.steps)
        self._decode_exactly(rate, coded.block, source)
        return CodedBlock(coded.block, source.steps)

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateParameters, plan: DecodePlan
    ) -> Iterator[tuple[Block, Array]]:
        """Decode the levels that the streams hold; the others are the means of their priors.

        Raises CorruptError also when the streams have more or fewer levels than the model.
        """
        assert isinstance(rate, ContinuousRate)
        for number, block in plan.blocks():
            yield block, self._decode_block(streams[number], rate, block)

    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Array]]:
        return self.synthesis_net, ()

    def _decode_block(self, stream: Stream, rate: ContinuousRate, block: Block) -> Array:
        whole = stream.symbols_crc is not None
        if stream.level_count > self.levels or (whole and stream.level_count < self.levels):
            raise CorruptError(
                f"damaged: {stream.level_count} levels, and its model has {self.levels}"
            )
        return self._decode_exactly(rate, block, StreamSource(stream, self.tables))

    def _decode_exactly(
        self, rate: ContinuousRate, block: Block, latent_source: LatentSource
    ) -> Array:
        exact_rate = self.backend.exact_place.put(rate.rate)
        kernels = self.backend.kernels
        with stage("entropy parameters"), kernels.full_precision(exact_rate):
            return self.decode_top_down(exact_rate, block.size, latent_source)

    @cached_property
    def tables(self) -> CodingTables:
        """Tables, one for each scale."""
        return CodingTables(self.gaussian.tables())
