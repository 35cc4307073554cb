"""Slicing: narrow networks are the first channels of the kernels of a wide one (Yang et al., "Slimmable
Compressive Autoencoders for Practical Neural Image Compression", CVPR 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from vrcodec.models.networks.layers import ResidualBlock

# Name and shape -> the leading part of a parameter of the wide network, grouped by channel.
ParameterSource = Callable[[str, torch.Size], Tensor]

# The two products of a gate lie one behind the other along its rows.
_GATE = "gate"
# Layers of a block whose outputs each width scales and shifts.
_SWITCHABLE = ("mix", "merge")


def leading_part(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The first ``shape`` elements of ``tensor`` along its axes: a view."""
    return tensor[tuple(map(slice, shape))]


def group_by_channel(name: str, tensor: Tensor) -> Tensor:
    """A parameter with one row for each channel: those of a gate, (2C, ...), become (C, ..., 2)."""
    return torch.stack(tensor.chunk(2), dim=-1) if _is_gate(name) else tensor


def ungroup_channels(name: str, tensor: Tensor) -> Tensor:
    """Inverse of `group_by_channel`: the layout of the network."""
    return torch.cat(tensor.unbind(-1)) if _is_gate(name) else tensor


def _is_gate(name: str) -> bool:
    return name.split(".")[-2] == _GATE


def switchable_layers(net: nn.Module, prefix: str) -> Iterator[tuple[str, int]]:
    """Names of the layers that a width scales and shifts, and their channels."""
    for name, module in net.named_modules():
        if isinstance(module, ResidualBlock):
            for layer in _SWITCHABLE:
                yield f"{prefix}.{name}.{layer}", getattr(module, layer).out_features


class SwitchableAffine(nn.Module):
    """Scale and shift behind the branches of a network's blocks, for one width."""

    def __init__(self, net: nn.Module, prefix: str) -> None:
        super().__init__()
        layers = dict(switchable_layers(net, prefix))
        self.scales = nn.ParameterDict({_key(k): torch.ones(n) for k, n in layers.items()})
        self.shifts = nn.ParameterDict({_key(k): torch.zeros(n) for k, n in layers.items()})

    def fold(self, layer: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Fold scale and shift into the ``weight`` and ``bias`` of a layer."""
        scale, shift = self.scales[_key(layer)], self.shifts[_key(layer)]
        return weight * scale[:, None], bias * scale + shift


def _key(layer: str) -> str:
    return layer.replace(".", "_")


def narrow_state(
    net: nn.Module, prefix: str, source: ParameterSource, switches: SwitchableAffine
) -> dict[str, Tensor]:
    """Parameters by name for ``net``, a narrow copy of the network that ``source`` calls ``prefix``."""
    state = {}
    for name, parameter in net.named_parameters():
        shape = group_by_channel(name, parameter).shape
        state[name] = ungroup_channels(name, source(f"{prefix}.{name}", shape))
    for layer, _ in switchable_layers(net, prefix):
        local = layer.removeprefix(prefix + ".")
        weight, bias = switches.fold(layer, state[local + ".weight"], state[local + ".bias"])
        state[local + ".weight"], state[local + ".bias"] = weight, bias
    return state
