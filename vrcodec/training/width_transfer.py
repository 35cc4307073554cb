"""Starting a slimmable model from the weights of a model that has one width.

The channels of a trained backbone are sorted by what they carry: then the first ones of every kernel are those
to keep, and its narrow slices are the best start there is for a slimmable model. The backbone computes the
same when the channels of a stream change places in all layers that touch it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.passes import run_narrow
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.networks.layers import Conv2d, Depthwise, Pointwise, ResidualBlock
from vrcodec.models.networks.module import Module, Sequential
from vrcodec.models.slimming.widths import NETWORKS

# Rows of a layer before a pixel shuffle by 2, for each channel behind it.
_SHUFFLE_ROWS = 4

_Layer = Conv2d | Depthwise | Pointwise


@torch.no_grad()
def initialise_from_wide(model: Slim, wide: HyperpriorModel, x: Tensor) -> None:
    """Set ``model`` to compute at its widest what ``wide`` does, with channels in order of energy.

    ``x`` (B, 3, 16h, 16w) in [0, 1]: pictures that the energies and the scales of latents are taken from.
    """
    assert model.analysis_net is not None
    assert model.synthesis_net is not None
    for name in NETWORKS:
        model.get_submodule(name).load_state_dict(wide.get_submodule(name).state_dict())
    middle_gains = _log_gains(wide, torch.tensor([0.5]))
    order = _sort_channels(
        model.analysis_net, model.synthesis_net, x, *(g[0].exp() for g in middle_gains)
    )
    for width, reach in zip(model.all_widths().values(), model.size.reach, strict=True):
        first = order[: width.log_gain.shape[1]]
        gain, inverse = _log_gains(wide, torch.linspace(0, reach, KNOTS))
        width.log_gain.copy_(gain[:, first])
        width.log_inverse_gain.copy_(inverse[:, first])
    _initialise_scales(model, x)


def _log_gains(wide: HyperpriorModel, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of gains and inverse gains at ``rate`` (B,), both (B, M)."""
    factors = wide.gains(rate)
    shape = len(rate), wide.size.latent
    gain, inverse = factors.gain.flatten(1), factors.inverse_gain.flatten(1)
    return gain.log().expand(shape), inverse.log().expand(shape)


@torch.no_grad()
def _initialise_scales(model: Slim, x: Tensor) -> None:
    """Set the densities to the means and deviations of the present latents of ``x``."""
    for width in model.all_widths().values():
        y = run_narrow(model, width, "analysis_net", x - 0.5).float()
        deviation, mean = torch.std_mean(y, dim=(0, 2, 3))
        width.prior.density.initialise(mean, deviation.clamp_min(1e-3))


@dataclass(frozen=True)
class _ResidualStream:
    """Layers of one residual stream: the one that writes it, its blocks, the one that reads it."""

    first: _Layer
    blocks: Sequence[ResidualBlock]
    last: _Layer
    # Rows of the first layer for each channel.
    rows: int = 1


def _residual_streams(analysis: Sequential, synthesis: Sequential) -> list[_ResidualStream]:
    """The four streams of the backbone (`vrcodec.models.networks.backbone`)."""
    layers: list[Any] = [*analysis, *synthesis]
    _, inlet, *blocks, stride, low, outlet = layers[: len(analysis)]
    first, synthesis_low, expand, _, *synthesis_blocks, last, _ = layers[len(analysis) :]
    return [
        _ResidualStream(inlet, blocks, stride),
        _ResidualStream(stride, [low], outlet),
        _ResidualStream(first, [synthesis_low], expand),
        _ResidualStream(expand, synthesis_blocks, last, _SHUFFLE_ROWS),
    ]


@torch.no_grad()
def _sort_channels(
    analysis: Sequential, synthesis: Sequential, x: Tensor, gain: Tensor, inverse: Tensor
) -> Tensor:
    """Sort the channels of all streams in place, by their energy in the output of the layer that reads them.

    ``x`` (B, 3, 16h, 16w) in [0, 1]; ``gain`` and ``inverse`` (M,). Returns the new order of y's channels (M,),
    by the energy of y * gain; the first layer of the synthesis and the last of the analysis follow it.
    """
    with _recorded_energy([*analysis.modules(), *synthesis.modules()]) as energy:
        y = analysis(x - 0.5)
        synthesis((y * gain[:, None, None]).round() * inverse[:, None, None])
    streams = _residual_streams(analysis, synthesis)
    for stream in streams:
        _sort_stream(stream, energy)
    order = ((y * gain[:, None, None]).square().mean((0, 2, 3))).argsort(descending=True)
    outlet, inlet = streams[1].last, streams[2].first
    _permute_rows(outlet, order)
    _permute_columns(inlet, order)
    return order


@contextmanager
def _recorded_energy(modules: Sequence[Module]) -> Iterator[dict[Module, Tensor]]:
    """The energy of each channel that goes into each layer among ``modules``, while it is run."""
    energy: dict[Module, Tensor] = {}
    layers = [module for module in modules if isinstance(module, _Layer)]

    def run_recorded(layer: Module, x: Tensor) -> Tensor:
        energy[layer] = x.float().square().mean((0, 2, 3))
        return type(layer).forward(layer, x)  # type: ignore[no-any-return]

    for layer in layers:
        layer.forward = partial(run_recorded, layer)  # type: ignore[method-assign]
    try:
        yield energy
    finally:
        for layer in layers:
            del layer.forward


def _sort_stream(stream: _ResidualStream, energy: dict[Module, Tensor]) -> None:
    order = _energy_order(stream.last, energy)
    _permute_rows(stream.first, order, stream.rows)
    _permute_columns(stream.last, order)
    for block in stream.blocks:
        inner, gated = _energy_order(block.mix, energy), _energy_order(block.merge, energy)
        for layer in (block.spread, block.gate):
            _permute_columns(layer, order)
        for layer in (block.mix, block.merge):
            _permute_rows(layer, order)
        _permute_rows(block.spread, inner)
        _permute_rows(block.depthwise, inner)
        _permute_columns(block.mix, inner)
        # The gate has two rows for each of its channels.
        halves = torch.cat([gated, gated + len(gated)])
        _permute_rows(block.gate, halves)
        _permute_columns(block.merge, gated)


def _energy_order(layer: _Layer, energy: dict[Module, Tensor]) -> Tensor:
    """Input channels of ``layer``, by their energy in its output, highest first."""
    weight = layer.weight.reshape(*layer.weight.shape[:2], -1).square().sum((0, 2))
    return (energy[layer] * weight).argsort(descending=True)


def _permute_rows(layer: _Layer, order: Tensor, times: int = 1) -> None:
    rows = (order[:, None] * times + torch.arange(times)).flatten()
    layer.weight.copy_(layer.weight[rows])
    layer.bias.copy_(layer.bias[rows])


def _permute_columns(layer: _Layer, order: Tensor) -> None:
    layer.weight.copy_(layer.weight[:, order])
