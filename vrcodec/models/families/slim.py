"""`slim`: a slimmable autoencoder (Yang et al., "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021).

One set of kernels runs at several widths: a width uses the first channels of each (`slimming.slicing`),
with a few parameters of its own: scale and shift behind the branches of blocks, gains, and a prior.
The rate chooses the width, and within a width a gain, so that low rates take less time and memory. The prior
is integer arithmetic (`coding.activity`): no network takes part in entropy coding. Differences from
the paper: the backbone is ours, with scales and shifts where the paper has switchable GDN; gains (Cui et
al., CVPR 2021) make the rate continuous; the prior is factorized in training only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import Symbols
from vrcodec.errors import UsageError
from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import (
    Latents,
    RateParameters,
    VariableRateModel,
    place_module,
    register,
)
from vrcodec.models.coding.activity import LATENT_LIMIT
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.models.coding.tiled_transforms import Network, analyse_in_tiles
from vrcodec.models.gradients import without_gradients
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import interpolate_gains
from vrcodec.models.networks.module import Module, ModuleDict, Sequential, buffer
from vrcodec.models.slimming.slicing import ParameterSource, group_by_channel, leading_part
from vrcodec.models.slimming.width_packing import (
    StoredWidths,
    join_parameter,
    read_group,
    split_parameter,
)
from vrcodec.models.slimming.widths import NETWORKS, Width
from vrcodec.rate import RATE_CODE_MAX, rate_from_code
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.timing import stage

# The one tensor of a weights file that belongs to no width or network.
_SCHEDULE = "schedule"


@dataclass(frozen=True)
class WidthRateParameters(RateParameters):
    """A width at one ``level`` of its reach, in 1/65535: ``gain``, ``inverse_gain`` (1, M, 1, 1) float64."""

    width: int
    level: int
    gain: Array
    inverse_gain: Array


def even_schedule(reach: Sequence[float]) -> npt.NDArray[np.int32]:
    """A schedule with an equal share of the rates for each width, where levels stand for the rate's trade-off.

    ``reach``: the highest rate of each width. Returns (widths, 3) int32, rows: the first rate code of a width,
    and its levels there and where it ends, in 1/65535 of its reach.
    """
    ends = [RATE_CODE_MAX * k // len(reach) for k in range(len(reach) + 1)]
    rows = [
        [a, round(a / r), round(b / r)] for (a, b), r in zip(pairwise(ends), reach, strict=True)
    ]
    return np.array(rows, np.int32)


@register
class Slim(VariableRateModel):
    """Widths of one backbone, narrow to wide."""

    family = "slim"
    method = 4
    read_in_groups = True
    rate_independent_analysis = False

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        if not size.widths:
            raise ValueError("a slimmable model needs widths")
        self.widths = ModuleDict({str(w): Width(size.narrowed(w)) for w in size.widths})
        # The wide networks: in training only.
        self.analysis_net: Sequential | None = None
        self.synthesis_net: Sequential | None = None
        # In coding only.
        self._stored: StoredWidths | None = None
        self._networks: dict[tuple[int, str], Module] = {}
        self.schedule = buffer(even_schedule(size.reach))

    def attach_densities(self) -> None:
        """Create the wide networks."""
        self.analysis_net = backbone.analysis(self.size)
        self.synthesis_net = backbone.synthesis(self.size)

    def freeze(self) -> None:
        for width in self.all_widths().values():
            width.prior.freeze(width.table_gains())

    def all_widths(self) -> dict[int, Width]:
        """Widths by their channels, narrow to wide."""
        return {int(k): w for k, w in self.widths.items()}

    # --- weights files ---

    def packed_state(self) -> dict[str, Array]:
        """Parameters of the wide networks are cut into what each width adds."""
        if self._stored is not None:
            return {**self._stored.tensors, _SCHEDULE: self.schedule}
        packed: dict[str, Array] = {}
        for name, tensor in self.state_dict().items():
            wide = name.startswith(NETWORKS)
            packed.update(
                split_parameter(self.all_widths(), name, tensor) if wide else {name: tensor}
            )
        return packed

    @classmethod
    def trainable_state(cls, size: BackboneSize, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Parameters of the wide networks are joined; the schedule is float, for integers are not loaded."""
        widths = cls(size).all_widths()
        whole = {k: v for k, v in state.items() if not k.startswith(NETWORKS)}
        whole[_SCHEDULE] = kernels_of(state[_SCHEDULE]).float32(state[_SCHEDULE])
        for net, template in widths[size.channels].templates.items():
            for parameter, _ in template.named_parameters():
                name = f"{net}.{parameter}"
                whole[name] = join_parameter(widths, name, state)
        return whole

    def load_weights(self, state: Mapping[str, Array]) -> None:
        """Takes the schedule; the tensors of a width are loaded when it is first used."""
        self.schedule = read_group(state, _SCHEDULE)[_SCHEDULE]
        if len(self.schedule) != len(self.size.widths):
            raise ValueError("the schedule does not fit the widths")
        self._stored = StoredWidths(state, self.all_widths())

    def loaded_width(self, width: int) -> Width:
        """The parameters of ``width``, loaded for coding."""
        if self._stored is not None:
            self._stored.load_width(width)
        return self.all_widths()[width]

    # --- the rate ---

    def rate_parameters(self, code: int) -> WidthRateParameters:
        """The width that the schedule has for ``code``, and the gain at its level there."""
        index, level = self.schedule_at(code)
        return self._rate_parameters(code, self.size.widths[index], level)

    def schedule_at(self, code: int) -> tuple[int, int]:
        """Index of the width for a rate code, and its level in 1/65535."""
        rows = self.schedule.tolist()
        index = max(k for k, row in enumerate(rows) if row[0] <= code)
        first, low, high = rows[index]
        end = rows[index + 1][0] if index + 1 < len(rows) else RATE_CODE_MAX
        return index, low + (high - low) * (code - first) // max(1, end - first)

    def scheduled_rates(self) -> dict[int, tuple[float, float]]:
        """The rates at which each width is used, from and to."""
        firsts = [row[0] / RATE_CODE_MAX for row in self.schedule.tolist()]
        return dict(zip(self.size.widths, pairwise([*firsts, 1.0]), strict=True))

    def rate_parameters_at_width(self, code: int, width: int) -> WidthRateParameters:
        """``width``, with the rate over all of its reach. Raises UsageError when there is no such width."""
        if width not in self.size.widths:
            known = ", ".join(map(str, self.size.widths))
            raise UsageError(f"there is no width {width}; slim has {known}")
        return self._rate_parameters(code, width, code)

    def limit_width(self, code: int, max_width: int) -> tuple[int, int | None]:
        """The schedule's own width, while it is not over ``max_width``; from there on the widest that is not.

        The rates beyond go over the rest of its reach, so that files still grow from rate to rate.
        """
        index, _ = self.schedule_at(code)
        if self.size.widths[index] <= max_width:
            return code, None
        allowed = [width for width in self.size.widths if width <= max_width]
        if not allowed:
            narrowest = self.size.widths[0]
            raise UsageError(
                f"no width of slim is {max_width} or less; the narrowest is {narrowest}"
            )
        rows = self.schedule.tolist()
        (_, _, level), (end, _, _) = rows[len(allowed) - 1 : len(allowed) + 1]
        share = (code - end) / max(1, RATE_CODE_MAX - end)
        return round(level + (RATE_CODE_MAX - level) * share), allowed[-1]

    def _rate_parameters(self, code: int, width: int, level: int) -> WidthRateParameters:
        parameters = self.loaded_width(width)
        knots = parameters.log_gain, parameters.log_inverse_gain
        with self.backend.kernels.without_gradients():
            rate = self.rate_value(rate_from_code(level))
            gain, inverse = (interpolate_gains(k, rate) for k in knots)
        return WidthRateParameters(code, width, level, gain, inverse)

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> None:
        """Unknown: there are no latents before the width is known."""

    def mean_log2_gain(self, rate: RateParameters) -> float:
        """The mean over the channels."""
        assert isinstance(rate, WidthRateParameters)
        return float(kernels_of(rate.gain).xp.log2(rate.gain).mean())

    def _parameter_source(self, width: int, network: str) -> ParameterSource:
        """The shared parameters of a network at ``width``."""
        if self._stored is None:
            return self.leading
        stored = self._stored.parameter_source(width, network)
        return lambda name, shape: self.place.put(stored(name, shape))

    def leading(self, name: str, shape: Sequence[int]) -> Array:
        """The first ``shape`` elements of a parameter of the wide networks, grouped by channel."""
        return leading_part(group_by_channel(name, self.get_parameter(name)), shape)

    # --- coding ---

    def compute_latents(self, x: Array) -> Array:
        return x

    @without_gradients
    def compress(self, latents: Latents, rate: RateParameters) -> list[Stream]:
        """Analyse at the rate's width, round, and code block by block."""
        assert isinstance(rate, WidthRateParameters)
        with stage("analysis"):
            y = self.analyse_at_width(latents, rate.width)
        with stage("quantisation"):
            symbols = self.quantise(y, rate)
        return self.write_streams(symbols, rate)

    def write_streams(self, symbols: Symbols, rate: WidthRateParameters) -> list[Stream]:
        """Code ``symbols`` (M, h, w) of the rate's width: one stream for each block."""
        with stage("coding"):
            width, grid = self.loaded_width(rate.width), LatentGrid(*symbols.shape[-2:])
            return [
                width.encode_block(symbols[block.slices], rate.level) for block in grid.blocks()
            ]

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateParameters, plan: DecodePlan
    ) -> Iterator[tuple[Block, Array]]:
        assert isinstance(rate, WidthRateParameters)
        width = self.loaded_width(rate.width)
        for number, block in plan.blocks():
            symbols = np.zeros((rate.gain.shape[1], *block.size), np.int32)
            with stage("coding"):
                width.decode_block(streams[number], symbols, rate.level)
            y_hat = self.place.put(symbols[None])
            gain, inverse_gain = map(self.place.put, (rate.gain, rate.inverse_gain))
            yield block, (y_hat + width.rounding_centres(gain)) * inverse_gain

    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Array]]:
        """The synthesis of the rate's width."""
        assert isinstance(rate, WidthRateParameters)
        return self.network(rate.width, "synthesis_net"), ()

    @without_gradients
    def analyse_at_width(self, latents: Latents, width: int) -> Array:
        """y (1, M, h, w) of a picture at ``width``."""
        net = self.network(width, "analysis_net")
        return analyse_in_tiles(net, latents.y, self.size.halo, self.tiling, self.place)

    def quantise(self, y: Array, rate: WidthRateParameters) -> Symbols:
        """Symbols (M, h, w) for y (1, M, h, w) of the rate's width."""
        gain = kernels_of(y).like(rate.gain, y)
        width = self.loaded_width(rate.width)
        scaled = y * gain - width.rounding_centres(gain)
        rounded = round_with_dead_zone(scaled, width.log2_scales(gain))
        return kernels_of(y).int32(rounded.clip(-LATENT_LIMIT, LATENT_LIMIT)[0])

    def network(self, width: int, name: str) -> Module:
        """A network at a width, loaded on first use: ready for coding, or for gradients to its input."""
        if (width, name) not in self._networks:
            with stage("load"), self.backend.kernels.with_gradients():
                self._networks[width, name] = self._build_narrow(width, name)
        return self._networks[width, name]

    def _build_narrow(self, width: int, name: str) -> Module:
        parameters = self.loaded_width(width)
        net = parameters.templates[name]
        state = parameters.network_state(name, self._parameter_source(width, name))
        net.load_state_dict({k: kernels_of(v).detach(v) for k, v in state.items()})
        net.eval().requires_grad_(False)
        place_module(net, self.backend)
        return net
