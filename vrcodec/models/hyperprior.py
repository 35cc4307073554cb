"""Base of the families with a mean-scale hyperprior: a latent y and a hyper latent z (Balle et al. 2018,
Minnen et al. 2018).

z is coded with a factorized prior; from z alone, in float64, follow mean and scale of y. A family says
how the rate acts on them: `Gains` multiply y and z before rounding and after.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import ModuleType
from typing import ClassVar

import numpy as np

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.bitstream.tables import TableSet
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import Latents, RateParameters, VariableRateModel, estimate_latent_bits
from vrcodec.models.coding.coding_steps import CodedBlock, StepDecoder, StepEncoder
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.entropy import GaussianConditional, round_with_dead_zone
from vrcodec.models.coding.factorized_prior import FactorizedPrior, get_block, put_block
from vrcodec.models.coding.tiled_transforms import Network, analyse_in_tiles, run_in_tiles
from vrcodec.models.gradients import without_gradients
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import StepCoder
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.rate import rate_from_code
from vrcodec.regions.grid import BLOCK, HYPER_STRIDE, STRIDE, Block, LatentGrid
from vrcodec.regions.tiling import Tile
from vrcodec.regions.window import crop_to, intersect, relative_to, scale_up
from vrcodec.timing import stage


@dataclass(frozen=True)
class Gains:
    """Gains (B, C, 1, 1) of y and z for rates (B,), before rounding and after."""

    rate: Array
    gain: Array
    inverse_gain: Array
    hyper_gain: Array
    hyper_inverse_gain: Array
    # Where the rate is a map: its levels (B, 1, h, w) at the samples of y.
    levels: Array | None = None

    def like(self, features: Array) -> Gains:
        """Where ``features`` are, and in their type."""
        kernels = kernels_of(features)
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: kernels.like(v, features) for k, v in values.items() if v is not None}
        return replace(self, **moved)

    def within(self, block: Block) -> Gains:
        """The gains of the samples of y in ``block``; those of z stay whole."""
        if self.levels is None or math.prod(self.levels.shape) == 1:
            return self
        gain, inverse = (crop_to(v, block) for v in (self.gain, self.inverse_gain))
        return replace(self, gain=gain, inverse_gain=inverse)


def pad_to_hyper(y: Array, *conditions: Array) -> list[Array]:
    """Pad to whole samples of z; conditions of one sample stay as they are."""
    padded = (c if c.shape[-2:] == (1, 1) else pad_to_multiple(c, HYPER_STRIDE) for c in conditions)
    return [pad_to_multiple(y, HYPER_STRIDE), *padded]


@dataclass(frozen=True)
class GainParameters(RateParameters):
    """``gains`` of one rate, float64 on the CPU."""

    gains: Gains

    def within(self, window: Block) -> Gains:
        """The gains of the samples of y in ``window``; those of z stay whole."""
        return self.gains


class HyperpriorModel(VariableRateModel):
    """Hyperprior on the shared backbone, or on other ``networks``; a family adds its `Gains`."""

    exact_modules: ClassVar[tuple[str, ...]] = ("hyper_synthesis_net",)
    # A module with the four functions of `backbone`.
    networks: ClassVar[ModuleType] = backbone
    # Whether encoders round with a dead zone.
    dead_zone: ClassVar[bool] = True
    # Samples of z on each side of a tile that its hyper-analysis sees.
    hyper_analysis_halo: ClassVar[int] = 1

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.prior = FactorizedPrior(size.hyper)
        self.gaussian = GaussianConditional()
        self.analysis_net = self.networks.analysis(size)
        self.synthesis_net = self.networks.synthesis(size)
        self.hyper_analysis_net = self.networks.hyper_analysis(size)
        self.hyper_synthesis_net = self.networks.hyper_synthesis(size)

    def attach_densities(self) -> None:
        from vrcodec.models.learning.factorized_density import FactorizedDensity

        self.prior.density = FactorizedDensity(self.size.hyper)

    def freeze(self) -> None:
        self.prior.freeze()
        self.gaussian.freeze()

    def scale_tables(self) -> TableSet:
        """The tables of the Gaussian."""
        return self.gaussian.tables()

    @abstractmethod
    def gains(self, rate: Array) -> Gains:
        """The gains for ``rate`` (B,), in its dtype."""

    @abstractmethod
    def hyper_input(self, y: Array, gains: Gains) -> Array:
        """Input of the hyper-analysis for y (B, M, h, w), same shape."""

    def compute_conditions(self, levels: Array | None) -> tuple[Array, ...]:
        """Conditions of the transforms: (B, K, h, w) at the samples of y, or (B, K, 1, 1).

        ``levels``: those of `Gains`.
        """
        return ()

    @abstractmethod
    def code_block(self, features: Array, gains: Gains, code_step: StepCoder) -> Array:
        """Code a block of y in steps, the same ones in training, encoder and decoder.

        ``features`` (B, F, h, w) come from the hyper-synthesis. ``code_step`` gets mean and log2 scale,
        (B, C, n), of the samples of the scaled y in a step, and returns their symbols. Returns y_hat
        (B, M, h, w).
        """

    def round(self, residual: Array, log2_scale: Array) -> Array:
        """Symbols of ``residual``, same shape."""
        if not self.dead_zone:
            return residual.round()
        return round_with_dead_zone(residual, kernels_of(log2_scale).detach(log2_scale))

    def rate_parameters(self, code: int) -> GainParameters:
        """The gains of rate ``code``."""
        with self.backend.kernels.without_gradients():
            return GainParameters(code, self.gains(self.rate_value(rate_from_code(code))))

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> float | None:
        """From the size of the scaled latents."""
        assert isinstance(rate, GainParameters)
        return estimate_latent_bits(latents.y, rate.gains.gain)

    def mean_log2_gain(self, rate: RateParameters) -> float:
        """The mean over the channels."""
        assert isinstance(rate, GainParameters)
        gain = rate.gains.gain
        return float(kernels_of(gain).xp.log2(gain).mean())

    # --- analysis and synthesis: float, any precision ---

    def compute_latents(self, x: Array, *conditions: Array) -> Array:
        settings = self.halo, self.tiling, self.place
        return analyse_in_tiles(self.analysis_net, x, *settings, *conditions)

    def trade_off_levels(self, gains: Gains) -> Array:
        """The rates (B,), or levels (B, 1, h, w), whose lambda a search at ``gains`` should have."""
        return gains.rate if gains.levels is None else gains.levels

    def coding_conditions(self, rate: GainParameters) -> tuple[Array, ...]:
        """`compute_conditions` for coding: on the device of the networks, in float32."""
        levels = rate.gains.levels
        return self.compute_conditions(None if levels is None else self.place.put(levels))

    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Array]]:
        assert isinstance(rate, GainParameters)
        return self.synthesis_net, self.coding_conditions(rate)

    # --- entropy parameters: float64 ---

    def _features(
        self, z: Symbols, rate: GainParameters, plan: DecodePlan
    ) -> Iterator[tuple[int, Block, Array]]:
        """Number, block and features (1, F, h, w), float64, of each block of ``plan``."""
        # Longer runs share more of their borders; four blocks take less memory than a tile of one.
        run_length = max(1, 4 * self.tiling.max_units(STRIDE) // BLOCK**2)
        for run in plan.block_runs(run_length):
            window = plan.hyper_window([block for _, block in run])
            with stage("entropy parameters"):
                features = self._hyper_synthesise(self._dequantise_z(z, rate, window))
            y_window = scale_up(window, HYPER_STRIDE)
            for number, block in run:
                yield number, block, crop_to(features, relative_to(block, y_window))

    def _hyper_synthesise(self, z_hat: Array) -> Array:
        with kernels_of(z_hat).full_precision(z_hat):
            features: Array = self.hyper_synthesis_net(z_hat)
        return features

    def _dequantise_z(self, z: Symbols, rate: GainParameters, window: Block) -> Array:
        """z_hat in ``window``, a rectangle of z."""
        symbols = self.backend.host_place.put(z[window.slices])[None]
        z_hat = symbols * crop_to(rate.gains.hyper_inverse_gain, window)
        return self.backend.exact_place.put(z_hat)

    # --- coding ---

    @cached_property
    def z_tables(self) -> CodingTables:
        """Tables of z, one for each channel."""
        return CodingTables(self.prior.tables())

    @cached_property
    def y_tables(self) -> CodingTables:
        """Tables of y, one for each scale."""
        return CodingTables(self.gaussian.tables())

    @without_gradients
    def compress(self, latents: Latents, rate: RateParameters) -> list[Stream]:
        """Quantise and code: for each block z first, then y given z."""
        return self.write_streams(*self.quantise(latents, rate))

    def write_streams(self, z: Symbols, coded_blocks: Iterable[CodedBlock]) -> list[Stream]:
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

    def coded_blocks(self, latents: Latents, rate: RateParameters) -> Iterator[CodedBlock]:
        """Symbols of y and their table indices, block by block."""
        return self.quantise(latents, rate)[1]

    def quantise(
        self, latents: Latents, rate: RateParameters
    ) -> tuple[Symbols, Iterator[CodedBlock]]:
        """Symbols of z (N, h, w), and those of y with their table indices, block by block."""
        latents = self.latents_at_rate(latents, rate)
        z = self.quantise_z(latents, rate)
        return z, self.quantise_y(latents, z, rate)

    def latents_at_rate(self, latents: Latents, rate: RateParameters) -> Latents:
        """y for `quantise_z` and `quantise_y`: ``latents``, unless the analysis knows the rate."""
        return latents

    @without_gradients
    def quantise_y(
        self, latents: Latents, z: Symbols, rate: RateParameters
    ) -> Iterator[CodedBlock]:
        """Symbols of y and their table indices, block by block, given those of z."""
        assert isinstance(rate, GainParameters)
        plan = DecodePlan.of_grid(LatentGrid(*latents.y.shape[-2:]))
        for _, block, features in self._features(z, rate, plan):
            gains, y = rate.within(block), crop_to(latents.y, block)
            kernels = kernels_of(y)
            scaled = kernels.like(y * kernels.like(gains.gain, y), features)
            encoder = StepEncoder(scaled, self.round)
            with stage("entropy parameters"):
                self._code_exactly(features, gains, encoder)
            yield CodedBlock(block, encoder.steps)

    def _code_exactly(self, features: Array, gains: Gains, code_step: StepCoder) -> Array:
        with kernels_of(features).full_precision(features):
            return self.code_block(features, gains.like(features), code_step)

    @without_gradients
    def quantise_z(self, latents: Latents, rate: RateParameters) -> Symbols:
        """Symbols of z, (N, h, w)."""
        z = self.scaled_z(latents, rate).round().clip(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        return kernels_of(z).int32(z[0])

    @without_gradients
    def scaled_z(self, latents: Latents, rate: RateParameters) -> Array:
        """z in quantisation steps, before it is rounded: (1, N, h, w)."""
        assert isinstance(rate, GainParameters)
        grid = LatentGrid(*latents.y.shape[-2:])
        size, whole = (grid.hyper_height, grid.hyper_width), self.coding_conditions(rate)
        kernels = kernels_of(latents.y)

        def run(tile: Tile) -> Array:
            window = intersect(scale_up(tile.input, HYPER_STRIDE), grid.whole)
            y = self.hyper_input(crop_to(latents.y, window), rate.within(window))
            padded, *conditions = pad_to_hyper(y, *(crop_to(c, window) for c in whole))
            z: Array = self.hyper_analysis_net(kernels.channels_last(padded), *conditions)
            return z

        with stage("hyper-analysis"):
            area, stride = Block(0, size[0], 0, size[1]), STRIDE * HYPER_STRIDE
            tiles = self.tiling.tiles(area, size, self.hyper_analysis_halo, stride)
            z = run_in_tiles(run, tiles, size)
            return z * kernels.like(rate.gains.hyper_gain, z)

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateParameters, plan: DecodePlan
    ) -> Iterator[tuple[Block, Array]]:
        """z of all blocks first, then y block by block."""
        assert isinstance(rate, GainParameters)
        readers, z = self._decode_z(streams, plan)
        for number, block, features in self._features(z, rate, plan):
            decoder = StepDecoder(readers.pop(number), self.y_tables)
            with stage("entropy parameters"):
                y_hat = self._code_exactly(features, rate.within(block), decoder)
            decoder.reader.finish()
            yield block, self.place.put(y_hat)

    def _decode_z(
        self, streams: Sequence[Stream], plan: DecodePlan
    ) -> tuple[dict[int, StreamReader], Symbols]:
        """Readers by block number, behind z in their streams, and z (N, h, w) where ``plan`` needs it."""
        z = np.zeros((self.size.hyper, plan.grid.hyper_height, plan.grid.hyper_width), np.int32)
        readers = {}
        with stage("coding"):
            for number, block in plan.hyper_blocks():
                readers[number] = StreamReader(streams[number])
                get_block(readers[number], z, block.hyper(), self.z_tables)
        return readers, z
