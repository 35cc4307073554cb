"""Coding for families with one latent y and a hyper latent z (Balle et al. 2018, Minnen et al. 2018).

z is coded with a factorized prior; from z alone, in float64, follow mean and scale of y. A family says
how the rate acts on them: `Scaling` holds what multiplies y and z before rounding and after.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.bitstream.tables import TableSet
from vrcodec.models.base import Latents, RateState, VariableRateModel, rough_bits_of
from vrcodec.models.coding.decode_plan import Plan
from vrcodec.models.coding.entropy import (
    FactorizedPrior,
    GaussianConditional,
    gaussian_likelihood,
    round_with_dead_zone,
)
from vrcodec.models.coding.factorized import get_block, put_block
from vrcodec.models.coding.symbols import CodedBlock, Step, coded_step, read_step
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import Exchange, Pick
from vrcodec.models.networks.layers import pad_to_multiple, round_straight_through
from vrcodec.models.networks.transforms import Network, analyse, in_tiles
from vrcodec.rate import rate_from_code
from vrcodec.regions.grid import BLOCK, HYPER_STRIDE, STRIDE, Block, LatentGrid
from vrcodec.regions.tiling import Tile
from vrcodec.regions.window import common, cut, scaled, within
from vrcodec.timing import stage


@dataclass(frozen=True)
class Factors:
    """What rates (B,) come to: factors (B, C, 1, 1) of y and z, before rounding and after."""

    rate: Tensor
    gain: Tensor
    inverse_gain: Tensor
    hyper_gain: Tensor
    hyper_inverse_gain: Tensor
    # Where the rate is a map: its levels (B, 1, h, w) at the samples of y.
    levels: Tensor | None = None

    def to(self, features: Tensor) -> Factors:
        """Where ``features`` are, and in their type."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(features) for k, v in values.items() if v is not None})

    def within(self, block: Block) -> Factors:
        """What concerns the samples of y in ``block``."""
        if self.levels is None or self.levels.numel() == 1:
            return self
        gain, inverse = (cut(v, block) for v in (self.gain, self.inverse_gain))
        return replace(self, gain=gain, inverse_gain=inverse)


@dataclass(frozen=True)
class Scaling(RateState):
    """The factors of one rate, float64 on the CPU."""

    factors: Factors

    def within(self, window: Block) -> Factors:
        """What concerns the samples of y in ``window``, but for those of z, which are all of them."""
        return self.factors


class HyperpriorModel(VariableRateModel):
    """Mean-scale hyperprior on the shared backbone; a family adds its `Scaling`."""

    exact: ClassVar[tuple[str, ...]] = ("hyper_synthesis_net",)

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.prior = FactorizedPrior(size.hyper)
        self.gaussian = GaussianConditional()
        self.analysis_net = backbone.analysis(size)
        self.synthesis_net = backbone.synthesis(size)
        self.hyper_analysis_net = backbone.hyper_analysis(size)
        self.hyper_synthesis_net = backbone.hyper_synthesis(size)

    def attach_training(self) -> None:
        self.prior.attach_density()

    def freeze(self) -> None:
        self.prior.freeze()
        self.gaussian.freeze()

    def scale_tables(self) -> TableSet:
        """Those of the Gaussian."""
        return self.gaussian.tables()

    @abstractmethod
    def factors(self, rate: Tensor) -> Factors:
        """The factors for ``rate`` (B,), in its dtype."""

    @abstractmethod
    def hyper_input(self, y: Tensor, factors: Factors) -> Tensor:
        """What the hyper-analysis sees of y (B, M, h, w)."""

    def beside(self, levels: Tensor | None) -> tuple[Tensor, ...]:
        """What the transforms see beside their input: (B, K, h, w) at the samples of y, or of one sample.

        ``levels``: those of `Factors`.
        """
        return ()

    @abstractmethod
    def start_scales(self, log2_scales: Tensor) -> None:
        """Let the prior begin at mean zero and these log2 scales (M,) of the channels of y at rate 1/2."""

    @abstractmethod
    def code_block(self, features: Tensor, factors: Factors, exchange: Exchange) -> Tensor:
        """Code a block of y in steps, the same ones in training, encoder and decoder.

        ``features`` (B, F, h, w) come from the hyper-synthesis. In each step ``exchange`` gets mean and
        log2 scale, (B, C, n), of some samples of the scaled y, and returns their symbols. Returns y_hat
        (B, M, h, w).
        """

    def round(self, residual: Tensor, log2_scale: Tensor) -> Tensor:
        """Symbols of ``residual``, same shape, with a dead zone."""
        return round_with_dead_zone(residual, log2_scale.detach())

    def rate_state(self, code: int) -> Scaling:
        """The factors of rate ``code``."""
        rate = torch.tensor([rate_from_code(code)], dtype=torch.float64)
        with torch.no_grad():
            return Scaling(code, self.factors(rate))

    def rough_bits(self, latents: Latents, rate: RateState) -> float | None:
        """From the size of the scaled latents."""
        assert isinstance(rate, Scaling)
        return rough_bits_of(latents.y, rate.factors.gain)

    def log2_gain(self, rate: RateState) -> float:
        """The mean over the channels."""
        assert isinstance(rate, Scaling)
        return float(rate.factors.gain.log2().mean())

    def forward(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        """Noise for the rate, straight-through rounding for the distortion; rounding in evaluation."""
        factors = self.factors(rate)
        beside = self.beside(factors.levels)
        y = self.analysis_net(x - 0.5, *beside).float()
        padded, *beside_padded = self._whole_hyper(self.hyper_input(y, factors), *beside)
        z = self.hyper_analysis_net(padded, *beside_padded).float() * factors.hyper_gain
        z_hat = round_straight_through(z) * factors.hyper_inverse_gain
        features = self.hyper_synthesis_net(z_hat)[..., : y.shape[-2], : y.shape[-1]]
        scaled = y * factors.gain
        likelihoods: list[Tensor] = []

        def exchange(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
            residual = pick(scaled) - mean
            symbols = self.round(residual, log2_scale).detach()
            noise = torch.rand_like(residual) - 0.5
            coded = residual + noise if self.training else symbols
            likelihoods.append(gaussian_likelihood(coded, log2_scale).flatten(1))
            return residual + (symbols - residual).detach()

        y_hat = self.code_block(features, factors, exchange)
        return {
            "x_hat": self.synthesis_net(y_hat, *beside).float() + 0.5,
            "likelihoods": {
                "y": torch.cat(likelihoods, dim=1),
                "z": self.prior.likelihood(z, noisy=self.training),
            },
        }

    def _whole_hyper(self, y: Tensor, *beside: Tensor) -> list[Tensor]:
        """Padded to whole samples of z; what is the same everywhere may stay as it is."""
        own = (m if m.shape[-2:] == (1, 1) else pad_to_multiple(m, HYPER_STRIDE) for m in beside)
        return [pad_to_multiple(y, HYPER_STRIDE), *own]

    # --- analysis and synthesis: float, any precision ---

    def analyse_pictures(self, x: Tensor, *beside: Tensor) -> Tensor:
        own = self.size.halo, self.tiling, self.device
        return analyse(self.analysis_net, x, *own, *beside)

    def conditions(self, rate: Scaling) -> tuple[Tensor, ...]:
        """`beside` for coding: where the networks run, in float32."""
        levels = rate.factors.levels
        return self.beside(None if levels is None else levels.to(self.device, torch.float32))

    def synthesis_at(self, rate: RateState) -> tuple[Network, Sequence[Tensor]]:
        assert isinstance(rate, Scaling)
        return self.synthesis_net, self.conditions(rate)

    # --- entropy parameters: float64 ---

    def _features(
        self, z: Symbols, rate: Scaling, plan: Plan
    ) -> Iterator[tuple[int, Block, Tensor]]:
        """The blocks of ``plan``, their numbers, and the features (1, F, h, w), float64, of each."""
        # The longer a run, the less is computed twice; four blocks take less memory than a tile of one.
        most = max(1, 4 * self.tiling.units(STRIDE) // BLOCK**2)
        for run in plan.runs(most):
            seen = plan.hyper_window([block for _, block in run])
            with stage("entropy parameters"):
                features = self._hyper_synthesise(self._dequantise_z(z, rate, seen))
            around = scaled(seen, HYPER_STRIDE)
            for number, block in run:
                yield number, block, cut(features, within(block, around))

    def _hyper_synthesise(self, z_hat: Tensor) -> Tensor:
        with torch.autocast(z_hat.device.type, enabled=False):
            features: Tensor = self.hyper_synthesis_net(z_hat)
        return features

    def _dequantise_z(self, z: Symbols, rate: Scaling, window: Block) -> Tensor:
        """z_hat in ``window``, in samples of z."""
        own = torch.from_numpy(z[window.window]).double().unsqueeze(0)
        z_hat = own * cut(rate.factors.hyper_inverse_gain, window)
        return z_hat.to(self.exact_device, self.exact_dtype)

    # --- coding ---

    @cached_property
    def z_tables(self) -> CodingTables:
        """Those of z, one for each channel."""
        return CodingTables(self.prior.tables())

    @cached_property
    def y_tables(self) -> CodingTables:
        """Those of y, one for each scale."""
        return CodingTables(self.gaussian.tables())

    @torch.inference_mode()
    def compress(self, latents: Latents, rate: RateState) -> list[Stream]:
        """Quantise and code: for each block z first, then y with what z says of it."""
        return self.code(*self.quantise(latents, rate))

    def code(self, z: Symbols, coded_blocks: Iterable[CodedBlock]) -> list[Stream]:
        """The streams of what `quantise` gives."""
        streams = []
        for coded in coded_blocks:
            with stage("coding"):
                writer = StreamWriter()
                put_block(writer, z, coded.block.hyper(), self.z_tables)
                for symbols, t in coded.steps:
                    writer.put_guarded(symbols, t, self.y_tables)
                streams.append(writer.finish())
        return streams

    def coded_blocks(self, latents: Latents, rate: RateState) -> Iterator[CodedBlock]:
        """What is coded of y, block by block."""
        return self.quantise(latents, rate)[1]

    def quantise(self, latents: Latents, rate: RateState) -> tuple[Symbols, Iterator[CodedBlock]]:
        """Symbols of z (N, h, w), and those of y with their table indices, block by block."""
        latents = self.conditioned(latents, rate)
        z = self.quantise_z(latents, rate)
        return z, self.quantise_y(latents, z, rate)

    def conditioned(self, latents: Latents, rate: RateState) -> Latents:
        """y of this rate: as it is, unless the analysis knows the rate. For `quantise_z` and `quantise_y`."""
        return latents

    @torch.inference_mode()
    def quantise_y(self, latents: Latents, z: Symbols, rate: RateState) -> Iterator[CodedBlock]:
        """Symbols of y and their table indices, block by block, given those of z."""
        assert isinstance(rate, Scaling)
        plan = Plan.of_all(LatentGrid(*latents.y.shape[-2:]))
        for _, block, features in self._features(z, rate, plan):
            factors, own = rate.within(block), cut(latents.y, block)
            writing = _Quantising((own * factors.gain.to(own)).to(features), self.round)
            with stage("entropy parameters"):
                self._code_exactly(features, factors, writing)
            yield CodedBlock(block, writing.steps)

    def _code_exactly(self, features: Tensor, factors: Factors, exchange: Exchange) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.code_block(features, factors.to(features), exchange)

    @torch.inference_mode()
    def quantise_z(self, latents: Latents, rate: RateState) -> Symbols:
        """Symbols of z, (N, h, w)."""
        z = self.scaled_z(latents, rate).round_().clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        symbols: Symbols = z[0].int().cpu().numpy()
        return symbols

    @torch.inference_mode()
    def scaled_z(self, latents: Latents, rate: RateState) -> Tensor:
        """z in quantisation steps, before it is rounded: (1, N, h, w)."""
        assert isinstance(rate, Scaling)
        grid = LatentGrid(*latents.y.shape[-2:])
        size, conditions = (grid.hyper_height, grid.hyper_width), self.conditions(rate)

        def run(tile: Tile) -> Tensor:
            seen = common(scaled(tile.seen, HYPER_STRIDE), grid.whole)
            y = self.hyper_input(cut(latents.y, seen), rate.within(seen))
            whole, *beside = self._whole_hyper(y, *(cut(own, seen) for own in conditions))
            z: Tensor = self.hyper_analysis_net(
                whole.contiguous(memory_format=torch.channels_last), *beside
            )
            return z

        with stage("hyper-analysis"):
            tiles = self.tiling.tiles(Block(0, size[0], 0, size[1]), size, 1, STRIDE * HYPER_STRIDE)
            z = in_tiles(run, tiles, size)
            return z * rate.factors.hyper_gain.to(z)

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateState, plan: Plan
    ) -> Iterator[tuple[Block, Tensor]]:
        """z of all blocks first, then y block by block."""
        assert isinstance(rate, Scaling)
        readers, z = self._decode_z(streams, plan)
        for number, block, features in self._features(z, rate, plan):
            reading = _Reading(readers.pop(number), self.y_tables)
            with stage("entropy parameters"):
                y_hat = self._code_exactly(features, rate.within(block), reading)
            reading.reader.finish()
            yield block, y_hat.to(self.device, torch.float32)

    def _decode_z(
        self, streams: Sequence[Stream], plan: Plan
    ) -> tuple[dict[int, StreamReader], Symbols]:
        """What reads on in the stream of each block, and z (N, h, w) as far as it is needed."""
        z = np.zeros((self.size.hyper, plan.grid.hyper_height, plan.grid.hyper_width), np.int32)
        readers = {}
        with stage("coding"):
            for number, block in plan.hyper_blocks():
                readers[number] = StreamReader(streams[number])
                get_block(readers[number], z, block.hyper(), self.z_tables)
        return readers, z


class _Quantising:
    """The encoder's exchange: rounds a block of scaled y, and keeps what is to be coded."""

    def __init__(self, y: Tensor, rounding: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._y = y
        self._round = rounding
        self.steps: list[Step] = []

    def __call__(self, mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        with stage("quantisation"):
            residual = pick(self._y) - mean
            symbols = self._round(residual, log2_scale).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.steps.append(coded_step(symbols, log2_scale))
        return symbols


class _Reading:
    """The decoder's exchange: reads symbols from the stream."""

    def __init__(self, reader: StreamReader, tables: CodingTables) -> None:
        self.reader = reader
        self._tables = tables

    def __call__(self, mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        with stage("coding"):
            return read_step(self.reader, log2_scale, self._tables)
