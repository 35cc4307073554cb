"""The interface of all model families, and their registry."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import UsageError
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.sliding_latents import SlidingLatents
from vrcodec.models.coding.tiled_transforms import Network, Overlay, synthesise_in_tiles
from vrcodec.models.gradients import without_gradients
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.layers import ResidualBlock
from vrcodec.models.networks.module import Module
from vrcodec.models.place import NUMPY_BACKEND, Backend, Place
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.regions.region import WHOLE, Region
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling
from vrcodec.timing import stage

Pixels = npt.NDArray[np.uint8]

# Part of the names of tensors that only training needs.
DENSITY_INFIX = ".density."
# Prefix of the names of tensors that only encoding needs, where they have a weights file of their own.
ENCODER_PREFIX = "encoder."
# Bits of a picture per unit of the sum of log(1 + y^2) over its scaled latents. Measured on photographs at all
# rates: by weights for SSIMULACRA 2 2.1 to 4.1, about 2.8, and by those for PSNR about 3.1.
_BITS_PER_LOG_ENERGY = 2.8


@dataclass(frozen=True)
class RateParameters:
    """Everything that a family derives from the 16-bit rate ``code``: gains, width, conditions. Immutable."""

    code: int


@dataclass(frozen=True)
class Latents:
    """Result of the analysis, before any rate is applied: y (1, M, h, w) float32.

    Where the analysis depends on the rate, the picture itself, (1, 3, H, W) uint8.
    """

    y: Array


class VariableRateModel(Module, ABC):
    """A family of models: one set of weights for every rate.

    ``method`` is the family's number in the file header. ``exact_modules``: names of those that
    choose probability tables; they run in float64 (docs/EXACT.md).
    """

    family: ClassVar[str]
    method: ClassVar[int]
    exact_modules: ClassVar[tuple[str, ...]] = ()
    # Whether the analysis is the same at every rate.
    rate_independent_analysis: ClassVar[bool] = True
    # Whether the rate may be a quality map.
    takes_quality_map: ClassVar[bool] = False
    # Whether a weights file need not be read whole (`vrcodec.models.grouped_weights`).
    read_in_groups: ClassVar[bool] = False
    # Whether a weights file has its matrices in float16.
    half_precision_weights: ClassVar[bool] = True

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.size = size
        self.backend = NUMPY_BACKEND
        self.tiling = Tiling()

    def attach_encoder(self) -> None:
        """Create the modules that only encoding needs, where they are stored apart (`ENCODER_PREFIX`)."""

    def attach_densities(self) -> None:
        """Create the densities that training learns in place of tables, and what only encoding needs."""

    @abstractmethod
    def freeze(self) -> None:
        """Make the integer tables of coding from the learned densities."""

    def load_weights(self, state: Mapping[str, Array]) -> None:
        """Take the tensors of a weights file, without those that only training needs."""
        needed = {k: v for k, v in state.items() if DENSITY_INFIX not in k}
        self.load_state_dict(needed)

    def packed_state(self) -> dict[str, Array]:
        """The tensors of a weights file, by name."""
        return self.state_dict()

    @classmethod
    def trainable_state(cls, size: BackboneSize, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """The tensors of a weights file, ``state``, under their names in training."""
        return state

    @property
    def halo(self) -> int:
        """Samples of y on each side of a tile that its analysis or synthesis sees."""
        return self.size.halo

    @abstractmethod
    def rate_parameters(self, code: int) -> RateParameters:
        """Derive gains and the like from rate ``code``, in float64 on the CPU."""

    def rate_value(self, rate: float) -> Array:
        """r (1,), where `rate_parameters` computes."""
        return self.backend.host_place.put(np.array([rate]))

    def with_bin_size(self, rate: RateParameters, bin_code: int) -> RateParameters:
        """``rate`` with the quantisation step of ``bin_code`` in place of its own.

        Raises UsageError when the family has no such step.
        """
        raise UsageError(f"{self.family} has no bin size to choose; qvrf has")

    def rate_parameters_at_width(self, code: int, width: int) -> RateParameters:
        """As `rate_parameters`, at ``width`` channels. Raises UsageError when there are none to choose."""
        raise UsageError(f"{self.family} has no width to choose; slim has")

    def limit_width(self, code: int, max_width: int) -> tuple[int, int | None]:
        """Rate code and width, if any, that a file has for rate ``code`` with at most ``max_width`` channels.

        Raises UsageError when there are no widths, or none is so narrow.
        """
        raise UsageError(f"{self.family} has no width to choose; slim has")

    def with_quality_map(
        self, rate: RateParameters, shape: QualityMap, grid: LatentGrid
    ) -> RateParameters:
        """``rate`` as a quality map of this shape, around the same mean level, for a picture of ``grid``.

        Raises UsageError when the family has none.
        """
        raise UsageError(f"{self.family} takes no quality map; qmap does")

    def bin_code_at(self, code: int) -> int | None:
        """The code of the quantisation step of rate ``code``, or None when the family has no such step."""
        return None

    def rate_code_for_bin_size(self, bin_code: int) -> int:
        """The rate code with the nearest quantisation step. Raises UsageError as `with_bin_size` does."""
        raise UsageError(f"{self.family} has no bin size to choose; qvrf has")

    @abstractmethod
    def estimate_bits(self, latents: Latents, rate: RateParameters) -> float | None:
        """Estimate of the bits of ``latents`` at ``rate``, right to about a fifth: where a search begins.

        None where only coding can tell.
        """

    def scale_tables(self) -> TableSet | None:
        """The tables of y by rising scale; None where tables do not stand for scales."""
        return None

    @abstractmethod
    def mean_log2_gain(self, rate: RateParameters) -> float:
        """log2 of the gain of y, averaged over channels: how the scales of symbols move with the rate."""

    def analyse(self, pixels: Pixels) -> Latents:
        """Analyse a picture (H, W, 3) uint8, for every rate."""
        return self.analyse_batch(self.backend.kernels.array(np.moveaxis(pixels, -1, 0)[None]))[0]

    @without_gradients
    def analyse_batch(self, x: Array) -> list[Latents]:
        """`analyse` each picture in ``x`` (B, 3, H, W) uint8, on any device."""
        with stage("analysis"):
            y = self.compute_latents(x)
            return [Latents(y[k : k + 1]) for k in range(len(y))]

    @abstractmethod
    def compute_latents(self, x: Array) -> Array:
        """y (B, M, h, w) of ``x`` (B, 3, H, W) uint8; ``x`` itself where the analysis depends on the rate."""

    @abstractmethod
    def compress(self, latents: Latents, rate: RateParameters) -> list[Stream]:
        """Quantise and code at ``rate``; one stream for each block of the latent grid."""

    @abstractmethod
    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateParameters, plan: DecodePlan
    ) -> Iterator[tuple[Block, Array]]:
        """The blocks of ``plan``, row by row, each with its input of the synthesis: (1, M, h, w) float32.

        ``streams``: one for each block of the grid; only those that the plan needs are read. Raises
        CorruptError when a stream's symbols are not those that were encoded.
        """

    @abstractmethod
    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Array]]:
        """The synthesis, and its conditions: (1, K, h, w) or (1, K, 1, 1)."""

    @without_gradients
    def decompress(
        self,
        streams: Sequence[Stream],
        rate: RateParameters,
        width: int,
        height: int,
        region: Region = WHOLE,
        overlay: Overlay | None = None,
    ) -> Pixels:
        """Inverse of `compress`: the picture (height, width, 3) uint8, or what ``region`` shows of it.

        ``overlay``: puts other pixels over those of a tile. Blocks are decoded as the synthesis comes to them.
        Streams that were cut behind a level give a coarser picture. Raises as `decode_blocks` does, and
        UsageError for a region beyond the picture.
        """
        plan = DecodePlan.of_picture(width, height, self.halo, region)
        latents = SlidingLatents(self.decode_blocks(streams, rate, plan))
        net, conditions = self.synthesis_and_conditions(rate)
        with stage("synthesis"):
            return synthesise_in_tiles(net, latents, plan, self.tiling, overlay, *conditions)

    @property
    def place(self) -> Place:
        """Where transforms compute."""
        return self.backend.place

    def prepare(self, backend: Backend = NUMPY_BACKEND, tiling: Tiling = DEFAULT_TILING) -> None:
        """Make ready for coding with ``backend``."""
        self.eval().requires_grad_(False)
        self.backend = backend
        self.tiling = tiling
        # Parameters that belong to no network give rates, in float64 from their stored values.
        self.map(backend.place.move)
        for name, module in self.named_children():
            exact = backend.exact_place if name in self.exact_modules else None
            place_module(module, backend, exact)


def estimate_latent_bits(y: Array, gain: Array) -> float:
    """Estimate of the bits of latents (1, M, h, w) times ``gain``, from a sixteenth of the samples."""
    kernels = kernels_of(y)
    sampled = y[..., ::4, ::4] * kernels.like(gain, y)
    share = math.prod(sampled.shape) / math.prod(y.shape)
    return _BITS_PER_LOG_ENERGY * float(kernels.xp.log1p(sampled**2).sum()) / share


def place_module(net: Module, backend: Backend, exact: Place | None = None) -> None:
    """Put a network that computes in floating point where ``backend`` or ``exact`` has it.

    Without ``exact``: ``backend``'s type for the branches of residual blocks, where the work is, and float32
    for the trunk. Pixels and unbounded latents need more than bfloat16's 8 bits all the way through.
    """
    put_parameters(net, exact or backend.place)
    if exact is None:
        branch = Place(backend.kernels, backend.device, backend.branch_type)
        for module in net.modules():
            if isinstance(module, ResidualBlock):
                put_parameters(module, branch)


def put_parameters(module: Module, place: Place) -> None:
    """Put the parameters and buffers of ``module`` at ``place``; whole numbers keep their type."""

    def put(x: Array) -> Array:
        moved = place.put(x) if "float" in str(x.dtype) else place.move(x)
        return place.kernels.channels_last(moved) if moved.ndim == 4 else moved

    module.map(put)


Family = TypeVar("Family", bound=type[VariableRateModel])
FAMILIES: dict[str, type[VariableRateModel]] = {}


def register(family: Family) -> Family:
    """Class decorator: add a family to `FAMILIES`."""
    FAMILIES[family.family] = family
    return family
