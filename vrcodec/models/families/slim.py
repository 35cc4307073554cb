"""`slim`: a slimmable autoencoder (Yang et al., "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021).

One set of kernels runs at several widths: a width uses the first channels of each (`slimming.slicing`),
with a few parameters of its own: scale and shift behind the branches of blocks, gains, and a prior.
The rate chooses the width, and inside a width a gain, so that low rates take less time and memory. The prior
is made of integers (`coding.activity`): no network takes part in entropy coding. Differences from
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

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rans import Symbols
from vrcodec.errors import UsageError
from vrcodec.models.base import (
    Latents,
    RateState,
    VariableRateModel,
    register,
    set_float_dtype,
)
from vrcodec.models.coding.activity import LATENT_LIMIT
from vrcodec.models.coding.decode_plan import Plan
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.models.coding.factorized import all_blocks
from vrcodec.models.networks import backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import log_linear
from vrcodec.models.networks.transforms import Network, analyse
from vrcodec.models.slimming.slicing import Source, channels_first, leading
from vrcodec.models.slimming.storage import StoredWidths, cut_parameter, join_parameter, tensors_of
from vrcodec.models.slimming.widths import NETWORKS, Width
from vrcodec.rate import RATE_CODE_MAX, rate_from_code
from vrcodec.regions.grid import Block, LatentGrid
from vrcodec.timing import stage

# The one tensor of a weights file that no width has for itself.
_SCHEDULE = "schedule"


@dataclass(frozen=True)
class WidthState(RateState):
    """One width at one ``level`` of its reach, in 1/65535: ``gain``, ``inverse_gain`` (1, M, 1, 1) float64."""

    width: int
    level: int
    gain: Tensor
    inverse_gain: Tensor


def even_schedule(reach: Sequence[float]) -> Tensor:
    """As much of the rate for each width; each works at the rate's own trade-off.

    Rows: the first rate code of a width, its level there and where it ends, in 1/65535 of its reach.
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
    one_analysis = False
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

    def start_scales(self, log2_scales: Tensor) -> None:
        """Let the priors begin at mean zero and these log2 scales (M,) of the channels of y."""
        for width in self.all_widths().values():
            scales = log2_scales[: width.prior.channels].exp2()
            width.prior.density.start(torch.zeros_like(scales), scales)

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
                cut_parameter(self.all_widths(), name, tensor) if wide else {name: tensor}
            )
        return packed

    @classmethod
    def trainable_state(
        cls, size: BackboneSize, state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """With the parameters of the wide networks whole; the schedule, too, in numbers that are kept."""
        widths = cls(size).all_widths()
        whole = {k: v for k, v in state.items() if not k.startswith(NETWORKS)}
        whole[_SCHEDULE] = state[_SCHEDULE].float()
        for net, template in widths[size.channels].templates.items():
            for own, _ in template.named_parameters():
                name = f"{net}.{own}"
                whole[name] = join_parameter(widths, name, state)
        return whole

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Takes the schedule, and of the rest what a width needs when it is first used."""
        self.schedule = tensors_of(state, _SCHEDULE)[_SCHEDULE]
        if len(self.schedule) != len(self.size.widths):
            raise ValueError("the schedule does not fit the widths")
        self._stored = StoredWidths(state, self.all_widths())

    def own(self, width: int) -> Width:
        """What ``width`` has of its own, ready for coding."""
        if self._stored is not None:
            self._stored.fill(width)
        return self.all_widths()[width]

    # --- the rate ---

    def rate_state(self, code: int) -> WidthState:
        """The width that the schedule has for ``code``, and the gain at its level there."""
        index, level = self._scheduled(code)
        return self._state(code, self.size.widths[index], level)

    def _scheduled(self, code: int) -> tuple[int, int]:
        """The number of a width, and its level in 1/65535."""
        rows = self.schedule.tolist()
        index = max(k for k, row in enumerate(rows) if row[0] <= code)
        first, low, high = rows[index]
        end = rows[index + 1][0] if index + 1 < len(rows) else RATE_CODE_MAX
        return index, low + (high - low) * (code - first) // max(1, end - first)

    def scheduled_rates(self) -> dict[int, tuple[float, float]]:
        """The rates at which each width is used, from and to."""
        firsts = [row[0] / RATE_CODE_MAX for row in self.schedule.tolist()]
        return dict(zip(self.size.widths, pairwise([*firsts, 1.0]), strict=True))

    def width_state(self, code: int, width: int) -> WidthState:
        """``width``; the rate runs over what that can do. Raises UsageError when there is no such width."""
        if width not in self.size.widths:
            known = ", ".join(map(str, self.size.widths))
            raise UsageError(f"there is no width {width}; slim has {known}")
        return self._state(code, width, code)

    def _state(self, code: int, width: int, level: int) -> WidthState:
        own = self.own(width)
        at = torch.tensor([rate_from_code(level)], dtype=torch.float64)
        with torch.no_grad():
            gain, inverse = (log_linear(k, at) for k in (own.log_gain, own.log_inverse_gain))
        return WidthState(code, width, level, gain, inverse)

    def rough_bits(self, latents: Latents, rate: RateState) -> None:
        """Unknown: there are no latents before the width is known."""

    def log2_gain(self, rate: RateState) -> float:
        """The mean over the channels."""
        assert isinstance(rate, WidthState)
        return float(rate.gain.log2().mean())

    # --- training ---

    def forward(
        self, x: Tensor, rate: Tensor, width: int | None = None
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        """Noise for bits, straight-through for pixels.

        ``rate`` (B,): with ``width`` the levels 0 .. 1 of its reach; without, it is the first one's width.
        """
        if width is None:
            return self._as_scheduled(x, rate)
        own = self.all_widths()[width]
        gain, inverse = (log_linear(k, rate) for k in (own.log_gain, own.log_inverse_gain))
        y = self.call_narrow(own, "analysis_net", x - 0.5).float() * gain
        centre = own.centres(gain)
        symbols = round_with_dead_zone(y.detach() - centre, own.log2_scales(gain))
        through = y + (symbols + centre - y).detach()
        coded = y + torch.rand_like(y) - 0.5 if self.training else through
        likelihood = own.prior.density.likelihood(coded.flatten(2), gain.flatten(2))
        x_hat = self.call_narrow(own, "synthesis_net", through * inverse).float() + 0.5
        return {"x_hat": x_hat, "likelihoods": {"y": likelihood}}

    def _as_scheduled(self, x: Tensor, rate: Tensor) -> dict[str, Tensor | dict[str, Tensor]]:
        code = round(float(rate[0]) * RATE_CODE_MAX)
        index, level = self._scheduled(code)
        result: dict[str, Tensor | dict[str, Tensor]] = self(
            x, rate.new_full(rate.shape, rate_from_code(level)), self.size.widths[index]
        )
        return result

    def call_narrow(self, width: Width, name: str, x: Tensor) -> Tensor:
        """A narrow network on ``x``, with gradients to the wide one."""
        state = width.state(name, self._leading)
        result: Tensor = functional_call(width.templates[name], state, (x,))
        return result

    def _leading(self, name: str, shape: torch.Size) -> Tensor:
        return leading(channels_first(name, self.get_parameter(name)), shape)

    def _source(self, width: int, network: str) -> Source:
        """Of the shared parameters of a network at ``width``."""
        return self._stored.source(width, network) if self._stored else self._leading

    # --- coding ---

    def analyse_pictures(self, x: Tensor) -> Tensor:
        return x

    @torch.inference_mode()
    def compress(self, latents: Latents, rate: RateState) -> list[Stream]:
        """Analyse at the rate's width, round, and code block by block."""
        assert isinstance(rate, WidthState)
        with stage("analysis"):
            y = self.narrow_analysis(latents, rate.width)
        with stage("quantisation"):
            symbols = self.quantise(y, rate)
        return self.code(symbols, rate)

    def code(self, symbols: Symbols, rate: WidthState) -> list[Stream]:
        """The streams of ``symbols`` (M, h, w) at a width."""
        with stage("coding"):
            own, grid = self.own(rate.width), LatentGrid(*symbols.shape[-2:])
            return [own.put(symbols[block.window], rate.level) for block in all_blocks(grid)]

    def decode_blocks(
        self, streams: Sequence[Stream], rate: RateState, plan: Plan
    ) -> Iterator[tuple[Block, Tensor]]:
        assert isinstance(rate, WidthState)
        own = self.own(rate.width)
        for number, block in plan.blocks():
            symbols = np.zeros((rate.gain.shape[1], *block.size), np.int32)
            with stage("coding"):
                own.get(streams[number], symbols, rate.level)
            y_hat = torch.from_numpy(symbols).to(self.device).float().unsqueeze(0)
            centred = y_hat + own.centres(rate.gain.to(y_hat))
            yield block, centred * rate.inverse_gain.to(y_hat)

    def synthesis_at(self, rate: RateState) -> tuple[Network, Sequence[Tensor]]:
        """That of the rate's width."""
        assert isinstance(rate, WidthState)
        return self.network(rate.width, "synthesis_net"), ()

    @torch.inference_mode()
    def narrow_analysis(self, latents: Latents, width: int) -> Tensor:
        """y (1, M, h, w) of a picture at ``width``."""
        net = self.network(width, "analysis_net")
        return analyse(net, latents.y, self.size.halo, self.tiling, self.device)

    def quantise(self, y: Tensor, rate: WidthState) -> Symbols:
        """Symbols (M, h, w) for y (1, M, h, w) of the rate's width."""
        gain = rate.gain.to(y)
        own = self.own(rate.width)
        scaled = y * gain - own.centres(gain)
        rounded = round_with_dead_zone(scaled, own.log2_scales(gain))
        symbols: Symbols = rounded.clamp_(-LATENT_LIMIT, LATENT_LIMIT)[0].int().cpu().numpy()
        return symbols

    def network(self, width: int, name: str) -> nn.Module:
        """A network at a width, loaded when first wanted: ready for coding, or for gradients to its input."""
        if (width, name) not in self._networks:
            with stage("load"), torch.inference_mode(False):
                self._networks[width, name] = self._narrow(width, name)
        return self._networks[width, name]

    def _narrow(self, width: int, name: str) -> nn.Module:
        own = self.own(width)
        net, state = own.templates[name], own.state(name, self._source(width, name))
        net.load_state_dict({k: v.detach() for k, v in state.items()}, assign=True)
        net.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)
        set_float_dtype(net, self.branch_dtype)
        return net
