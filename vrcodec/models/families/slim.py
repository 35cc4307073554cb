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
import torch
from torch import Tensor, nn
from torch.func import functional_call

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import Symbols
from vrcodec.errors import UsageError
from vrcodec.models.base import (
    Latents,
    RateParameters,
    VariableRateModel,
    register,
    set_float_dtype,
)
from vrcodec.models.coding.activity import LATENT_LIMIT
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.models.coding.tiled_transforms import Network, analyse_in_tiles
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import interpolate_gains
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
    gain: Tensor
    inverse_gain: Tensor


def even_schedule(reach: Sequence[float]) -> Tensor:
    """A schedule with an equal share of the rates for each width, where levels stand for the rate's trade-off.

    ``reach``: the highest rate of each width. Returns (widths, 3) int32, rows: the first rate code of a width,
    and its levels there and where it ends, in 1/65535 of its reach.
    """
    ends = [RATE_CODE_MAX * k // len(reach) for k in range(len(reach) + 1)]
    rows = [
        [a, round(a / r), round(b / r)] for (a, b), r in zip(pairwise(ends), reach, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.int32)


@register
class Slim(VariableRateModel):
    """Widths of one backbone, narrow to wide."""

    family = "slim"
    method = 4
    read_in_groups = True
    rate_independent_analysis = False
    schedule: Tensor

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        if not size.widths:
            raise ValueError("a slimmable model needs widths")
        self.widths = nn.ModuleDict({str(w): Width(size.narrowed(w)) for w in size.widths})
        # The wide networks: in training only.
        self.analysis_net: nn.Sequential | None = None
        self.synthesis_net: nn.Sequential | None = None
        # In coding only.
        self._stored: StoredWidths | None = None
        self._networks: dict[tuple[int, str], nn.Module] = {}
        self.register_buffer("schedule", even_schedule(size.reach))

    def attach_training(self) -> None:
        """Create the wide networks and the densities."""
        self.analysis_net = backbone.analysis(self.size)
        self.synthesis_net = backbone.synthesis(self.size)

    def initialise_scales(self, log2_scales: Tensor) -> None:
        """Let the priors begin at mean zero and these log2 scales (M,) of the channels of y."""
        for width in self.all_widths().values():
            scales = log2_scales[: width.prior.channels].exp2()
            width.prior.density.initialise(torch.zeros_like(scales), scales)

    def freeze(self) -> None:
        for width in self.all_widths().values():
            width.prior.freeze(width.table_gains())

    def all_widths(self) -> dict[int, Width]:
        """Widths by their channels, narrow to wide."""
        return {int(k): w for k, w in self.widths.items() if isinstance(w, Width)}

    # --- weights files ---

    def packed_state(self) -> dict[str, Tensor]:
        """Parameters of the wide networks are cut into what each width adds."""
        if self._stored is not None:
            return {**self._stored.tensors, _SCHEDULE: self.schedule}
        packed: dict[str, Tensor] = {}
        for name, tensor in self.state_dict().items():
            wide = name.startswith(NETWORKS)
            packed.update(
                split_parameter(self.all_widths(), name, tensor) if wide else {name: tensor}
            )
        return packed

    @classmethod
    def trainable_state(
        cls, size: BackboneSize, state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Parameters of the wide networks are joined; the schedule is float, for integers are not loaded."""
        widths = cls(size).all_widths()
        whole = {k: v for k, v in state.items() if not k.startswith(NETWORKS)}
        whole[_SCHEDULE] = state[_SCHEDULE].float()
        for net, template in widths[size.channels].templates.items():
            for parameter, _ in template.named_parameters():
                name = f"{net}.{parameter}"
                whole[name] = join_parameter(widths, name, state)
        return whole

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
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
        index, level = self._schedule_at(code)
        return self._rate_parameters(code, self.size.widths[index], level)

    def _schedule_at(self, code: int) -> tuple[int, int]:
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

    def _rate_parameters(self, code: int, width: int, level: int) -> WidthRateParameters:
        parameters = self.loaded_width(width)
        knots = parameters.log_gain, parameters.log_inverse_gain
        rate = torch.tensor([rate_from_code(level)], dtype=torch.float64)
        with torch.no_grad():
            gain, inverse = (interpolate_gains(k, rate) for k in knots)
        return WidthRateParameters(code, width, level, gain, inverse)

    def estimate_bits(self, latents: Latents, rate: RateParameters) -> None:
        """Unknown: there are no latents before the width is known."""

    def mean_log2_gain(self, rate: RateParameters) -> float:
        """The mean over the channels."""
        assert isinstance(rate, WidthRateParameters)
        return float(rate.gain.log2().mean())

    # --- training ---

    def forward(
        self, x: Tensor, rate: Tensor, width: int | None = None
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        """Noise for the rate, straight-through rounding for the distortion.

        ``rate`` (B,): with ``width`` levels 0 .. 1 of its reach; without, rates, of which the first chooses
        width and level.
        """
        if width is None:
            return self._forward_scheduled(x, rate)
        parameters = self.all_widths()[width]
        knots = parameters.log_gain, parameters.log_inverse_gain
        gain, inverse = (interpolate_gains(k, rate) for k in knots)
        y = self.run_narrow(parameters, "analysis_net", x - 0.5).float() * gain
        centre = parameters.rounding_centres(gain)
        symbols = round_with_dead_zone(y.detach() - centre, parameters.log2_scales(gain))
        straight_through = y + (symbols + centre - y).detach()
        coded = y + torch.rand_like(y) - 0.5 if self.training else straight_through
        likelihood = parameters.prior.density.likelihood(coded.flatten(2), gain.flatten(2))
        x_hat = (
            self.run_narrow(parameters, "synthesis_net", straight_through * inverse).float() + 0.5
        )
        return {"x_hat": x_hat, "likelihoods": {"y": likelihood}}

    def _forward_scheduled(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        code = round(float(rate[0]) * RATE_CODE_MAX)
        index, level = self._schedule_at(code)
        result: dict[str, Tensor | dict[str, Tensor]] = self(
            x, rate.new_full(rate.shape, rate_from_code(level)), self.size.widths[index]
        )
        return result

    def run_narrow(self, width: Width, name: str, x: Tensor) -> Tensor:
        """A narrow network on ``x``, with gradients to the wide one."""
        state = width.network_state(name, self._leading)
        result: Tensor = functional_call(width.templates[name], state, (x,))
        return result

    def _leading(self, name: str, shape: torch.Size) -> Tensor:
        return leading_part(group_by_channel(name, self.get_parameter(name)), shape)

    def _parameter_source(self, width: int, network: str) -> ParameterSource:
        """The shared parameters of a network at ``width``."""
        return self._stored.parameter_source(width, network) if self._stored else self._leading

    # --- coding ---

    def compute_latents(self, x: Tensor) -> Tensor:
        return x

    @torch.inference_mode()
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
    ) -> Iterator[tuple[Block, Tensor]]:
        assert isinstance(rate, WidthRateParameters)
        width = self.loaded_width(rate.width)
        for number, block in plan.blocks():
            symbols = np.zeros((rate.gain.shape[1], *block.size), np.int32)
            with stage("coding"):
                width.decode_block(streams[number], symbols, rate.level)
            y_hat = torch.from_numpy(symbols).to(self.device).float().unsqueeze(0)
            centred = y_hat + width.rounding_centres(rate.gain.to(y_hat))
            yield block, centred * rate.inverse_gain.to(y_hat)

    def synthesis_and_conditions(self, rate: RateParameters) -> tuple[Network, Sequence[Tensor]]:
        """The synthesis of the rate's width."""
        assert isinstance(rate, WidthRateParameters)
        return self.network(rate.width, "synthesis_net"), ()

    @torch.inference_mode()
    def analyse_at_width(self, latents: Latents, width: int) -> Tensor:
        """y (1, M, h, w) of a picture at ``width``."""
        net = self.network(width, "analysis_net")
        return analyse_in_tiles(net, latents.y, self.size.halo, self.tiling, self.device)

    def quantise(self, y: Tensor, rate: WidthRateParameters) -> Symbols:
        """Symbols (M, h, w) for y (1, M, h, w) of the rate's width."""
        gain = rate.gain.to(y)
        width = self.loaded_width(rate.width)
        scaled = y * gain - width.rounding_centres(gain)
        rounded = round_with_dead_zone(scaled, width.log2_scales(gain))
        symbols: Symbols = rounded.clamp_(-LATENT_LIMIT, LATENT_LIMIT)[0].int().cpu().numpy()
        return symbols

    def network(self, width: int, name: str) -> nn.Module:
        """A network at a width, loaded on first use: ready for coding, or for gradients to its input."""
        if (width, name) not in self._networks:
            with stage("load"), torch.inference_mode(False):
                self._networks[width, name] = self._build_narrow(width, name)
        return self._networks[width, name]

    def _build_narrow(self, width: int, name: str) -> nn.Module:
        parameters = self.loaded_width(width)
        net = parameters.templates[name]
        state = parameters.network_state(name, self._parameter_source(width, name))
        net.load_state_dict({k: v.detach() for k, v in state.items()}, assign=True)
        net.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)
        set_float_dtype(net, self.branch_dtype)
        return net
