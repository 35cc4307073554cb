"""What every family provides, and the registry of families."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import UsageError
from vrcodec.models.coding.decode_plan import Plan
from vrcodec.models.coding.latent_rows import ScrollingLatents
from vrcodec.models.device import exact_device, float_dtype
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.layers import Block as ResidualBlock
from vrcodec.models.networks.transforms import Network, as_tensor, synthesise
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.regions.region import WHOLE, View
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling
from vrcodec.timing import stage

Pixels = npt.NDArray[np.uint8]

# In the names of tensors that only training needs.
DENSITY = ".density."
# In front of the names of tensors that only encoding needs, where a file of their own holds them.
ENCODER = "encoder."
# Bits of a picture over the sum of log(1 + y^2) of its scaled latents. Measured on photographs with the
# weights of two families, at all rates: 2.4 to 3.8.
_ROUGH_BITS = 3.1


@dataclass(frozen=True)
class RateState:
    """Everything that a family derives from the 16-bit rate ``code``; immutable."""

    code: int


@dataclass(frozen=True)
class Latents:
    """Result of the analysis, before any rate is applied: y (1, M, h, w) float32.

    Where the analysis knows the rate, the picture (1, 3, H, W) uint8.
    """

    y: Tensor


class VariableRateModel(nn.Module, ABC):
    """A family of models: one set of weights for every rate.

    ``method`` is the family's number in the file header. ``exact`` names the modules that choose
    probability tables: they run in float64 (docs/EXACT.md).
    """

    family: ClassVar[str]
    method: ClassVar[int]
    exact: ClassVar[tuple[str, ...]] = ()
    # Whether the analysis is the same at every rate.
    one_analysis: ClassVar[bool] = True
    # Whether the rate may be a map.
    mapped: ClassVar[bool] = False
    # Whether a weights file need not be read whole (`vrcodec.models.weights_file`).
    read_in_groups: ClassVar[bool] = False

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.size = size
        self.device = torch.device("cpu")
        self.exact_device = torch.device("cpu")
        self.exact_dtype = torch.float64
        self.tiling = Tiling()
        self.branch_dtype = torch.float32

    def attach_encoder(self) -> None:
        """Create what only encoding needs, where that is stored apart (`ENCODER`)."""

    @abstractmethod
    def attach_training(self) -> None:
        """Create what only training needs."""

    @abstractmethod
    def freeze(self) -> None:
        """Make the integer tables that coding uses, from what training learned."""

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Take over the tensors of a weights file, but for what only training needs."""
        own = {k: v for k, v in state.items() if DENSITY not in k}
        self.load_state_dict(own, assign=True)

    def packed_state(self) -> dict[str, Tensor]:
        """The tensors of a weights file, by name."""
        return self.state_dict()

    @classmethod
    def trainable_state(
        cls, size: BackboneSize, state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """The tensors of a weights file, ``state``, under their names in training."""
        return state

    @abstractmethod
    def rate_state(self, code: int) -> RateState:
        """Derive the parameters of rate ``code``, in float64 on the CPU."""

    def with_bin_size(self, rate: RateState, bin_code: int) -> RateState:
        """``rate`` with the quantisation step of ``bin_code`` in place of its own.

        Raises UsageError when the family has no such step.
        """
        raise UsageError(f"{self.family} has no bin size to choose; qvrf has")

    def width_state(self, code: int, width: int) -> RateState:
        """As `rate_state`, at ``width`` channels. Raises UsageError when there are none to choose."""
        raise UsageError(f"{self.family} has no width to choose; slim has")

    def with_map(self, rate: RateState, shape: QualityMap, grid: LatentGrid) -> RateState:
        """The quality map of this shape, at the level of ``rate``, for a picture of ``grid``.

        Raises UsageError when the family has none.
        """
        raise UsageError(f"{self.family} takes no quality map; qmap does")

    def rate_code_of_bins(self, bin_code: int) -> int:
        """The rate code whose own quantisation step is nearest. Raises UsageError as above."""
        raise UsageError(f"{self.family} has no bin size to choose; qvrf has")

    @abstractmethod
    def rough_bits(self, latents: Latents, rate: RateState) -> float | None:
        """Bits that ``latents`` may take at ``rate``, right to about a fifth: where a search begins.

        None where nothing short of coding tells.
        """

    def scale_tables(self) -> TableSet | None:
        """The tables of y, if they are one for each scale, in the order of scales."""
        return None

    @abstractmethod
    def log2_gain(self, rate: RateState) -> float:
        """How the scales of symbols move with the rate: log2 of what y is multiplied by, on average."""

    @abstractmethod
    def forward(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        """Training pass: x (B, 3, 16h, 16w) in [0, 1], rate (B,) -> {"x_hat", "likelihoods"}."""

    def analysis(self, pixels: Pixels) -> Latents:
        """Picture (H, W, 3) uint8 -> what every rate has in common."""
        return self.analyses(as_tensor(pixels))[0]

    @torch.inference_mode()
    def analyses(self, x: Tensor) -> list[Latents]:
        """The same of each picture in ``x`` (B, 3, H, W) uint8, on any device."""
        with stage("analysis"):
            return [Latents(y) for y in torch.split(self.analyse_pictures(x), 1)]

    @abstractmethod
    def analyse_pictures(self, x: Tensor) -> Tensor:
        """y (B, M, h, w) of ``x`` (B, 3, H, W) uint8; ``x`` itself where the analysis knows the rate."""

    @abstractmethod
    def compress(self, latents: Latents, rate: RateState) -> list[Stream]:
        """Quantise and code at ``rate``; one stream for each block of the latent grid."""

    @abstractmethod
    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateState, plan: Plan
    ) -> Iterator[tuple[Block, Tensor]]:
        """The blocks of ``plan``, row by row, and what the synthesis gets of each: (1, M, h, w) float32.

        ``streams``: as many as the grid has blocks; only those that the plan needs are looked at. Raises
        CorruptError when a stream's symbols are not those that were encoded.
        """

    @abstractmethod
    def synthesis_at(self, rate: RateState) -> tuple[Network, Sequence[Tensor]]:
        """The synthesis, and what it sees beside y_hat: (1, K, h, w), or of one sample."""

    @torch.inference_mode()
    def decompress(
        self,
        streams: Sequence[Stream],
        rate: RateState,
        width: int,
        height: int,
        view: View = WHOLE,
    ) -> Pixels:
        """Inverse of `compress`: the picture (height, width, 3) uint8, or what ``view`` shows of it.

        Blocks are decoded as the synthesis comes to them. Of streams that were cut behind a level: the picture
        as far as those tell. Raises as `decode_blocks` does, and UsageError for a view beyond the picture.
        """
        plan = Plan.of(width, height, self.size.halo, view)
        latents = ScrollingLatents(self.decode_blocks(streams, rate, plan))
        net, beside = self.synthesis_at(rate)
        with stage("synthesis"):
            return synthesise(net, latents, plan, self.tiling, *beside)

    def prepare(
        self,
        device: torch.device,
        precision: str = "auto",
        tiling: Tiling = DEFAULT_TILING,
        exact_dtype: torch.dtype = torch.float64,
    ) -> None:
        """Make ready for coding on ``device``.

        ``precision`` of the float part: ``auto``, ``float32`` or ``bfloat16``. With another
        ``exact_dtype`` than float64 files do not decode elsewhere: it is there to show why.
        """
        self.eval().requires_grad_(False)
        self.device, self.exact_device = device, exact_device(device)
        self.exact_dtype = exact_dtype
        self.tiling = tiling
        self.to(device).to(memory_format=torch.channels_last)
        self.branch_dtype = float_dtype(device, precision)
        for name, module in self.named_children():
            if name in self.exact:
                # Straight from what was stored: a detour over bfloat16 would be another model.
                module.to(self.exact_device, exact_dtype)
            else:
                set_float_dtype(module, self.branch_dtype)


def rough_bits_of(y: Tensor, gain: Tensor) -> float:
    """Bits that latents (1, M, h, w) may take when multiplied by ``gain``; one in sixteen is looked at."""
    scaled = y[..., ::4, ::4] * gain.to(y)
    share = scaled.numel() / y.numel()
    return _ROUGH_BITS * float(torch.log1p(scaled.square()).sum()) / share


def set_float_dtype(net: nn.Module, dtype: torch.dtype) -> None:
    """``dtype`` for the branches of blocks, where the work is; float32 for what joins them.

    Pixels and unbounded latents need more than bfloat16's 8 bits all the way through.
    """
    net.float()
    for module in net.modules():
        if isinstance(module, ResidualBlock):
            module.to(dtype)


Family = TypeVar("Family", bound=type[VariableRateModel])
FAMILIES: dict[str, type[VariableRateModel]] = {}


def register(family: Family) -> Family:
    """Class decorator: make a family known by its name."""
    FAMILIES[family.family] = family
    return family
