"""Channels sorted by what they carry: then the first ones of every kernel are those to keep.

A trained backbone does the same when the channels of a stream change places in all layers that touch it.
Sorted, its narrow slices are the best start that it has for a slimmable model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vrcodec.models.networks.layers import Block

# Channels of the gate lie twice in its rows; those of a layer before a pixel shuffle four times, side by side.
_SHUFFLE = 4


_Layer = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class _Chain:
    """Layers of one residual stream: what feeds it, its blocks, what reads it."""

    first: _Layer
    blocks: Sequence[Block]
    last: _Layer
    # Rows of the first layer for each channel.
    rows: int = 1


def chains(analysis: nn.Sequential, synthesis: nn.Sequential) -> list[_Chain]:
    """The four streams of the backbone (`vrcodec.models.networks.backbone`)."""
    layers: list[Any] = [*analysis, *synthesis]
    _, inlet, *blocks, stride, low, outlet = layers[: len(analysis)]
    first, low_again, expand, _, *blocks_again, last, _ = layers[len(analysis) :]
    return [
        _Chain(inlet, blocks, stride),
        _Chain(stride, [low], outlet),
        _Chain(first, [low_again], expand),
        _Chain(expand, blocks_again, last, _SHUFFLE),
    ]


@torch.no_grad()
def sort_channels(
    analysis: nn.Sequential, synthesis: nn.Sequential, x: Tensor, gain: Tensor, inverse: Tensor
) -> Tensor:
    """Sort the channels of all streams in place, by their energy in what the next layer makes of them.

    ``x`` (B, 3, 16h, 16w) in [0, 1]; ``gain`` and ``inverse`` (M,). Returns the new order of y's channels (M,),
    by the energy of y * gain; the first layer of the synthesis and the last of the analysis follow it.
    """
    energy: dict[nn.Module, Tensor] = {}

    def remember(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        energy[layer] = inputs[0].float().square().mean((0, 2, 3))

    layers: list[Any] = [*analysis.modules(), *synthesis.modules()]
    hooks = [m.register_forward_pre_hook(remember) for m in layers if hasattr(m, "weight")]
    y = analysis(x - 0.5)
    synthesis((y * gain[:, None, None]).round() * inverse[:, None, None])
    for hook in hooks:
        hook.remove()
    for chain in chains(analysis, synthesis):
        _sort_chain(chain, energy)
    order = ((y * gain[:, None, None]).square().mean((0, 2, 3))).argsort(descending=True)
    outlet, inlet = chains(analysis, synthesis)[1].last, chains(analysis, synthesis)[2].first
    _take_rows(outlet, order)
    _take_columns(inlet, order)
    return order


def _sort_chain(chain: _Chain, energy: dict[nn.Module, Tensor]) -> None:
    order = _order(chain.last, energy)
    _take_rows(chain.first, order, chain.rows)
    _take_columns(chain.last, order)
    for block in chain.blocks:
        inner, gated = _order(block.mix, energy), _order(block.merge, energy)
        for layer in (block.spread, block.gate):
            _take_columns(layer, order)
        for layer in (block.mix, block.merge):
            _take_rows(layer, order)
        _take_rows(block.spread, inner)
        _take_rows(block.depthwise, inner)
        _take_columns(block.mix, inner)
        halves = torch.cat([gated, gated + len(gated)])
        _take_rows(block.gate, halves)
        _take_columns(block.merge, gated)


def _order(layer: _Layer, energy: dict[nn.Module, Tensor]) -> Tensor:
    """Channels that ``layer`` reads, by the energy of what it makes of each."""
    weight = layer.weight.reshape(*layer.weight.shape[:2], -1).square().sum((0, 2))
    return (energy[layer] * weight).argsort(descending=True)


def _take_rows(layer: _Layer, order: Tensor, times: int = 1) -> None:
    assert layer.bias is not None
    rows = (order[:, None] * times + torch.arange(times)).flatten()
    layer.weight.copy_(layer.weight[rows])
    layer.bias.copy_(layer.bias[rows])


def _take_columns(layer: _Layer, order: Tensor) -> None:
    layer.weight.copy_(layer.weight[:, order])
