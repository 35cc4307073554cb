"""The surrogate of the families with a hyperprior: y and the hyper latent z are refined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rans import SYMBOL_LIMIT, Symbols
from vrcodec.models.base import Latents
from vrcodec.models.coding.decode_plan import HYPER_HALO
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.hyperprior import GainParameters, HyperpriorModel
from vrcodec.models.networks.context import Pick
from vrcodec.refinement.bit_cost import BitCostTables
from vrcodec.refinement.surrogate import (
    ContinuousLatents,
    Rounding,
    Surrogate,
    make_float32_twin,
)
from vrcodec.regions.grid import HYPER_STRIDE, Block, LatentGrid
from vrcodec.regions.window import crop_to, expand, relative_to


class HyperpriorSurrogate(Surrogate):
    """``initial``: the latents of another surrogate of the same picture, in place of those of the analysis."""

    def __init__(
        self,
        model: HyperpriorModel,
        latents: Latents,
        rate: GainParameters,
        initial: ContinuousLatents | None,
    ) -> None:
        self._model, self._twin, self._rate = model, make_float32_twin(model), rate
        if initial is None:
            latents = model.latents_at_rate(latents, rate)
            z = model.scaled_z(latents, rate) / rate.gains.hyper_gain.to(latents.y)
            initial = [z, latents.y]
        z, y = (t.clone() for t in initial)
        self._gains = rate.within(LatentGrid(*y.shape[-2:]).whole).like(y)
        self._z, self._y = z * self._gains.hyper_gain, y * self._gains.gain
        levels = model.trade_off_levels(rate.gains)
        level_plane = levels.reshape(1, 1, -1, 1) if levels.dim() == 1 else levels
        super().__init__(LatentGrid(*y.shape[-2:]), level_plane.to(y))
        self._conditions = model.coding_conditions(rate)
        self._y_bit_cost = BitCostTables(model.y_tables, y.device)
        self._z_bit_cost = BitCostTables(model.z_tables, y.device)
        self._z_numbers = torch.arange(z.shape[1], device=z.device).float()[:, None, None]

    def continuous_latents(self) -> ContinuousLatents:
        return [self._z / self._gains.hyper_gain, self._y / self._gains.gain]

    def variables(self, block: Block) -> list[Tensor]:
        return [crop_to(self._z, block.hyper()).clone(), crop_to(self._y, block).clone()]

    def store(self, block: Block, variables: Sequence[Tensor]) -> None:
        z, y = variables
        crop_to(self._z, block.hyper()).copy_(z)
        crop_to(self._y, block).copy_(y)

    def decode(
        self, block: Block, variables: Sequence[Tensor], rounding: Rounding
    ) -> tuple[Tensor, Tensor]:
        z, y = variables
        z_symbols = rounding(z, None)
        bits = [self._z_bit_cost.total_bits(z_symbols, self._z_numbers)]

        def code_step(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
            zone = log2_scale if self._model.dead_zone else None
            symbols = rounding(pick(y) - mean, zone)
            bits.append(self._y_bit_cost.total_bits(symbols, scale_index(log2_scale)))
            return symbols

        features = self._hyper_features(block, z_symbols)
        y_hat = self._twin.code_block(features, self._gains.within(block), code_step)
        return y_hat, torch.stack(bits).sum()

    def _hyper_features(self, block: Block, z: Tensor) -> Tensor:
        """The hyper-synthesis of a block, with ``z`` there and the stored hyper latent around it."""
        hyper_block = block.hyper()
        window = expand(hyper_block, HYPER_HALO, self._z.shape[-2:])
        z_window = crop_to(self._z, window).round()
        inside = relative_to(hyper_block, window)
        crop_to(z_window, inside).copy_(z)
        z_hat = z_window * crop_to(self._gains.hyper_inverse_gain, window)
        features: Tensor = self._twin.hyper_synthesis_net(z_hat)
        top, left = (HYPER_STRIDE * n for n in (inside.top, inside.left))
        height, width = block.bottom - block.top, block.right - block.left
        return features[..., top : top + height, left : left + width]

    def synthesise(self, y_hat: Tensor, window: Block) -> Tensor:
        conditions = (crop_to(c, window) for c in self._conditions)
        x: Tensor = self._twin.synthesis_net(y_hat, *conditions)
        return x.float() + 0.5

    def streams(self) -> list[Stream]:
        limited = self._z.round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        z: Symbols = limited[0].int().cpu().numpy()
        latents = Latents(self._y / self._gains.gain)
        return self._model.write_streams(z, self._model.quantise_y(latents, z, self._rate))
