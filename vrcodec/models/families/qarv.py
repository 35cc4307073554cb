"""`qarv`: a hierarchical VAE (Duan et al., "QARV: Quantization-Aware ResNet VAE for Lossy Image Compression",
TPAMI 2023) that decodes coarse to fine, and on every device.

The way down (`networks.hierarchy`) chooses the tables of all but the first latent, so it runs in float64;
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

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.symbol_coding import StreamWriter
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import CorruptError
from vrcodec.models.base import (
    Latents,
    RateState,
    VariableRateModel,
    register,
    rough_bits_of,
)
from vrcodec.models.coding.decode_plan import Plan
from vrcodec.models.coding.entropy import (
    GaussianConditional,
    gaussian_likelihood,
    round_with_dead_zone,
)
from vrcodec.models.coding.factorized import all_blocks
from vrcodec.models.coding.hierarchical import Quantising, Reading, Replaying
from vrcodec.models.coding.symbols import CodedBlock
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import KNOTS, as_channels, log_linear
from vrcodec.models.networks.hierarchy import (
    ALL_PHASES,
    Descent,
    Exchange,
    Kind,
    Prior,
    scale_sizes,
)
from vrcodec.models.networks.layers import Pointwise
from vrcodec.models.networks.modulation import condition_net
from vrcodec.models.networks.posterior import Posterior
from vrcodec.models.networks.transforms import Network, analyse
from vrcodec.rate import rate_from_code
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.timing import stage

_CONDITIONS = 16
# The latents at 1/64 and at 1/32, level by level; those at 1/16 are groups of y.
_COARSE = ((Kind(64),), (Kind(64),))
# Of a level, at 1/64, 1/32 and 1/16.
_BLOCKS = (2, 2, 1)


@dataclass(frozen=True)
class LevelRate(RateState):
    """``rate``: r, (1,) float64 on the CPU."""

    rate: Tensor


class EncoderSide(nn.Module):
    """What only the encoder needs."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.analysis_net = backbone.analysis(size)
        self.posterior = Posterior(size.latent, size.prior, _kinds(size))


def _kinds(size: BackboneSize) -> tuple[tuple[Kind, ...], ...]:
    """Of the first group, which holds what the picture looks like from afar, samples help each other."""
    first, *others = size.groups
    interlaced = (Kind(first, (phase,)) for phase in ALL_PHASES)
    return (*_COARSE, (*interlaced, *map(Kind, others)))


@register
class Qarv(VariableRateModel):
    """Latents at 1/64, 1/32 and 1/16 on the shared backbone; ``size.prior`` is the width of the way down."""

    family = "qarv"
    method = 5
    exact = ("condition_net", "descent")

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.encoder: EncoderSide | None = None
        self.condition_net = condition_net(_CONDITIONS)
        self.descent = Descent(size.prior, _kinds(size), _CONDITIONS, _BLOCKS)
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
        """How many latents there are."""
        return sum(map(len, _kinds(self.size)))

    # --- the rate ---

    def rate_state(self, code: int) -> LevelRate:
        return LevelRate(code, torch.tensor([rate_from_code(code)], dtype=torch.float64))

    def scale_tables(self) -> TableSet:
        """Those of the Gaussian."""
        return self.gaussian.tables()

    def log2_gain(self, rate: RateState) -> float:
        """The mean over the channels of y."""
        return float(self._log2_gains(rate).mean())

    def rough_bits(self, latents: Latents, rate: RateState) -> float:
        """From the size of y in steps."""
        return rough_bits_of(latents.y, torch.exp2(self._log2_gains(rate)))

    @torch.no_grad()
    def _log2_gains(self, rate: RateState) -> Tensor:
        """Of y, at the first of its samples: (1, M, 1, 1) float64."""
        assert isinstance(rate, LevelRate)
        finest = (level for level in self.descent.levels()[-1] if 0 in level.kind.phases)
        return torch.cat([level.log2_gains(rate.rate) for level in finest], dim=1).unsqueeze(-1)

    # --- training ---

    def forward(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        """Noise for the rate, straight-through rounding for the distortion; rounding in evaluation."""
        encoder = self._encoder()
        y = encoder.analysis_net(x - 0.5).float()
        wanted = encoder.posterior(y)
        likelihoods: dict[str, Tensor] = {}

        def exchange(number: int, prior: Prior) -> Tensor:
            residual = prior.residual(wanted(number, prior))
            symbols = self.round(residual, prior.log2_scale).detach()
            noisy = residual + torch.rand_like(residual) - 0.5 if self.training else symbols
            likelihoods[f"z{number}"] = gaussian_likelihood(noisy, prior.log2_scale)
            through = residual + (symbols - residual).detach()
            return prior.value(through)

        y_hat = self.descend(rate, y.shape[-2:], exchange)
        x_hat = self.synthesis_net(y_hat).float() + 0.5
        return {"x_hat": x_hat, "likelihoods": likelihoods}

    def round(self, residual: Tensor, log2_scale: Tensor) -> Tensor:
        """Symbols of ``residual``, same shape, with a dead zone."""
        return round_with_dead_zone(residual, log2_scale.detach())

    def _encoder(self) -> EncoderSide:
        if self.encoder is None:
            raise RuntimeError("attach_encoder() comes before encoding")
        return self.encoder

    def descend(self, rate: Tensor, size: Sequence[int], exchange: Exchange) -> Tensor:
        """What the synthesis gets, (B, M, h, w), for latents (h, w) = ``size`` that ``exchange`` provides.

        In the dtype and on the device of the way down, but for what follows its last latent.
        """
        conditions = self.condition_net(as_channels(2 * rate[:, None] - 1))
        sizes = scale_sizes(*size)
        state, y_hat = self.descent(conditions, rate, sizes, exchange)
        own = self.out.weight
        restored = y_hat.to(own.device).float() * log_linear(
            self.log_restoration, rate.to(own.device).float()
        )
        return restored + self.out(state.to(own)).float()

    # --- coding ---

    def analyse_pictures(self, x: Tensor) -> Tensor:
        net = self._encoder().analysis_net
        return analyse(net, x, self.size.halo, self.tiling, self.device)

    def compress(self, latents: Latents, rate: RateState) -> list[Stream]:
        """Quantise and code, level by level in each block."""
        return self.code(self.coded_blocks(latents, rate))

    def code(self, coded_blocks: Iterable[CodedBlock]) -> list[Stream]:
        """The streams of what `coded_blocks` gives."""
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
    def coded_blocks(self, latents: Latents, rate: RateState) -> Iterator[CodedBlock]:
        """Every block on its own: a step is a level."""
        for block in all_blocks(LatentGrid(*latents.y.shape[-2:])):
            yield self.quantise(self.wanted(latents, block), rate, block)

    def wanted(self, latents: Latents, block: Block) -> Exchange:
        """Where the encoder wants the latents of a block, before they are quantised."""
        with stage("posterior"):
            y = latents.y[0][block.window].unsqueeze(0)
            return self._encoder().posterior(y.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def quantise(self, wanted: Exchange, rate: RateState, block: Block) -> CodedBlock:
        """What is coded of a block whose latents are ``wanted``."""
        assert isinstance(rate, LevelRate)
        writing = Quantising(wanted, self.round)
        self._descend_exactly(rate, block, writing)
        return CodedBlock(block, writing.steps)

    @torch.inference_mode()
    def coded_again(self, coded: CodedBlock, rate: RateState) -> CodedBlock:
        """The same symbols, with table indices computed anew, as a decoder would."""
        assert isinstance(rate, LevelRate)
        replaying = Replaying(coded.steps)
        self._descend_exactly(rate, coded.block, replaying)
        return CodedBlock(coded.block, replaying.steps)

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateState, plan: Plan
    ) -> Iterator[tuple[Block, Tensor]]:
        """The levels that the streams hold; the others are taken for what they probably are.

        Raises CorruptError also when the streams have more or fewer levels than the model.
        """
        assert isinstance(rate, LevelRate)
        for number, block in plan.blocks():
            yield block, self._decode_block(streams[number], rate, block)

    def synthesis_at(self, rate: RateState) -> tuple[Network, Sequence[Tensor]]:
        return self.synthesis_net, ()

    def _decode_block(self, stream: Stream, rate: LevelRate, block: Block) -> Tensor:
        whole = stream.symbols_crc is not None
        if stream.levels > self.levels or (whole and stream.levels < self.levels):
            raise CorruptError(f"damaged: {stream.levels} levels, and its model has {self.levels}")
        return self._descend_exactly(rate, block, Reading(stream, self.tables))

    def _descend_exactly(self, rate: LevelRate, block: Block, exchange: Exchange) -> Tensor:
        at = rate.rate.to(self.exact_device, self.exact_dtype)
        with stage("entropy parameters"), torch.autocast(self.device.type, enabled=False):
            return self.descend(at, block.size, exchange)

    @cached_property
    def tables(self) -> CodingTables:
        """One for each scale."""
        return CodingTables(self.gaussian.tables())
