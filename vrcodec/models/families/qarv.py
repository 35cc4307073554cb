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

import torch
from torch import Tensor, nn

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.symbol_coding import StreamWriter
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import CorruptError
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
from vrcodec.models.coding.entropy import (
    GaussianConditional,
    gaussian_likelihood,
    round_with_dead_zone,
)
from vrcodec.models.coding.tiled_transforms import Network, analyse_in_tiles
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_gains
from vrcodec.models.networks.hierarchy import (
    ALL_PHASES,
    LatentSource,
    LatentSpec,
    Prior,
    TopDownPath,
    scale_sizes,
)
from vrcodec.models.networks.layers import Pointwise
from vrcodec.models.networks.modulation import condition_net
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

    rate: Tensor


class EncoderSide(nn.Module):
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
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.log_restoration = nn.Parameter(torch.zeros(KNOTS, size.latent))
        self.synthesis_net = backbone.synthesis(size)

    def attach_encoder(self) -> None:
        self.encoder = EncoderSide(self.size)

    def attach_training(self) -> None:
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
        return ContinuousRate(code, torch.tensor([rate_from_code(code)], dtype=torch.float64))

    def scale_tables(self) -> TableSet:
        """The tables of the Gaussian."""
        return self.gaussian.tables()

    def mean_log2_gain(self, rate: RateParameters) -> float:
        """The mean over the channels of y."""
        return float(self._log2_gains(rate).mean())

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> float:
        """From the magnitudes of y in quantisation steps."""
        return estimate_latent_bits(latents.y, torch.exp2(self._log2_gains(rate)))

    @torch.no_grad()
    def _log2_gains(self, rate: RateParameters) -> Tensor:
        """log2 gains of y, at the first phase of its samples: (1, M, 1, 1) float64."""
        assert isinstance(rate, ContinuousRate)
        finest = (level for level in self.descent.levels()[-1] if 0 in level.spec.phases)
        return torch.cat([level.log2_gains(rate.rate) for level in finest], dim=1).unsqueeze(-1)

    # --- training ---

    def forward(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        """Noise for the rate, straight-through rounding for the distortion; rounding in evaluation."""
        encoder = self._encoder()
        y = encoder.analysis_net(x - 0.5).float()
        posterior = encoder.posterior(y)
        likelihoods: dict[str, Tensor] = {}

        def latent_source(number: int, prior: Prior) -> Tensor:
            residual = prior.residual(posterior(number, prior))
            symbols = self.round(residual, prior.log2_scale).detach()
            noisy = residual + torch.rand_like(residual) - 0.5 if self.training else symbols
            likelihoods[f"z{number}"] = gaussian_likelihood(noisy, prior.log2_scale)
            straight_through = residual + (symbols - residual).detach()
            return prior.value(straight_through)

        y_hat = self.decode_top_down(rate, y.shape[-2:], latent_source)
        x_hat = self.synthesis_net(y_hat).float() + 0.5
        return {"x_hat": x_hat, "likelihoods": likelihoods}

    def round(self, residual: Tensor, log2_scale: Tensor) -> Tensor:
        """Symbols of ``residual``, same shape, with a dead zone."""
        return round_with_dead_zone(residual, log2_scale.detach())

    def _encoder(self) -> EncoderSide:
        if self.encoder is None:
            raise RuntimeError("attach_encoder() comes before encoding")
        return self.encoder

    def decode_top_down(
        self, rate: Tensor, size: Sequence[int], latent_source: LatentSource
    ) -> Tensor:
        """Input of the synthesis, (B, M, h, w) with (h, w) = ``size``, given values by ``latent_source``.

        The top-down path runs in the dtype and on the device of ``rate`` (B,), what follows it in float32 where
        the synthesis runs.
        """
        conditions = self.condition_net(as_channels(2 * rate[:, None] - 1))
        sizes = scale_sizes(*size)
        state, y_hat = self.descent(conditions, rate, sizes, latent_source)
        weight = self.out.weight
        restored = y_hat.to(weight.device).float() * interpolate_gains(
            self.log_restoration, rate.to(weight.device).float()
        )
        return restored + self.out(state.to(weight)).float()

    # --- coding ---

    def compute_latents(self, x: Tensor) -> Tensor:
        net = self._encoder().analysis_net
        return analyse_in_tiles(net, x, self.size.halo, self.tiling, self.device)

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

    @torch.inference_mode()
    def coded_blocks(self, latents: Latents, rate: RateParameters) -> Iterator[CodedBlock]:
        """Quantise every block by itself: a step is a level."""
        for block in LatentGrid(*latents.y.shape[-2:]).blocks():
            yield self.quantise(self.block_posterior(latents, block), rate, block)

    def block_posterior(self, latents: Latents, block: Block) -> LatentSource:
        """Posterior means of the latents of a block."""
        with stage("posterior"):
            y = latents.y[0][block.slices].unsqueeze(0)
            return self._encoder().posterior(y.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def quantise(self, posterior: LatentSource, rate: RateParameters, block: Block) -> CodedBlock:
        """Symbols and table indices of a block with these posterior means, level by level."""
        assert isinstance(rate, ContinuousRate)
        source = QuantisedSource(posterior, self.round)
        self._decode_exactly(rate, block, source)
        return CodedBlock(block, source.steps)

    @torch.inference_mode()
    def recompute_tables(self, coded: CodedBlock, rate: RateParameters) -> CodedBlock:
        """The same symbols, with table indices computed anew, as a decoder would."""
        assert isinstance(rate, ContinuousRate)
        source = ReplayedSource(coded.steps)
        self._decode_exactly(rate, coded.block, source)
        return CodedBlock(coded.block, source.steps)

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateParameters, plan: DecodePlan
    ) -> Iterator[tuple[Block, Tensor]]:
        """Decode the levels that the streams hold; the others are the means of their priors.

        Raises CorruptError also when the streams have more or fewer levels than the model.
        """
        assert isinstance(rate, ContinuousRate)
        for number, block in plan.blocks():
            yield block, self._decode_block(streams[number], rate, block)

    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Tensor]]:
        return self.synthesis_net, ()

    def _decode_block(self, stream: Stream, rate: ContinuousRate, block: Block) -> Tensor:
        whole = stream.symbols_crc is not None
        if stream.level_count > self.levels or (whole and stream.level_count < self.levels):
            raise CorruptError(
                f"damaged: {stream.level_count} levels, and its model has {self.levels}"
            )
        return self._decode_exactly(rate, block, StreamSource(stream, self.tables))

    def _decode_exactly(
        self, rate: ContinuousRate, block: Block, latent_source: LatentSource
    ) -> Tensor:
        exact_rate = rate.rate.to(self.exact_device, self.exact_dtype)
        with stage("entropy parameters"), torch.autocast(self.device.type, enabled=False):
            return self.decode_top_down(exact_rate, block.size, latent_source)

    @cached_property
    def tables(self) -> CodingTables:
        """Tables, one for each scale."""
        return CodingTables(self.gaussian.tables())
