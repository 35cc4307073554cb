"""Narrow networks inside a wide one: the first channels of the same kernels (Yang et al., "Slimmable
Compressive Autoencoders for Practical Neural Image Compression", CVPR 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from vrcodec.models.networks.layers import Block

# Gives the leading part, of this shape, of a tensor of the wide network.
Source = Callable[[str, torch.Size], Tensor]

# The two products of a gate lie one behind the other along its rows.
_GATE = "gate"
# Layers of a block whose outputs a width may scale and shift.
_SWITCHED = ("mix", "merge")


def leading(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The first ``shape`` elements of ``tensor``."""
    return tensor[tuple(map(slice, shape))]


def channels_first(name: str, tensor: Tensor) -> Tensor:
    """A parameter with one row for each channel: those of a gate, (2C, ...), become (C, ..., 2)."""
    return torch.stack(tensor.chunk(2), dim=-1) if _is_gate(name) else tensor


def as_stored(name: str, tensor: Tensor) -> Tensor:
    """Inverse of `channels_first`."""
    return torch.cat(tensor.unbind(-1)) if _is_gate(name) else tensor


def _is_gate(name: str) -> bool:
    return name.split(".")[-2] == _GATE


def switched_layers(net: nn.Module, prefix: str) -> Iterator[tuple[str, int]]:
    """Names of the layers that a width scales and shifts, and their channels."""
    for name, module in net.named_modules():
        if isinstance(module, Block):
            for layer in _SWITCHED:
                yield f"{prefix}.{name}.{layer}", getattr(module, layer).out_features


class Switches(nn.Module):
    """What one width has of its own in a network: scale and shift behind the branches of its blocks."""

    def __init__(self, net: nn.Module, prefix: str) -> None:
        super().__init__()
        layers = dict(switched_layers(net, prefix))
        self.scales = nn.ParameterDict({_key(k): torch.ones(n) for k, n in layers.items()})
        self.shifts = nn.ParameterDict({_key(k): torch.zeros(n) for k, n in layers.items()})

    def fold(self, layer: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of a layer that does both at once."""
        scale, shift = self.scales[_key(layer)], self.shifts[_key(layer)]
        return weight * scale[:, None], bias * scale + shift


def _key(layer: str) -> str:
    return layer.replace(".", "_")


def narrow_state(
    net: nn.Module, prefix: str, source: Source, switches: Switches
) -> dict[str, Tensor]:
    """Parameters for ``net``, a narrow copy of what ``source`` calls ``prefix``, by name."""
    state = {}
    for name, parameter in net.named_parameters():
        shape = channels_first(name, parameter).shape
        state[name] = as_stored(name, source(f"{prefix}.{name}", shape))
    for layer, _ in switched_layers(net, prefix):
        own = layer.removeprefix(prefix + ".")
        weight, bias = switches.fold(layer, state[own + ".weight"], state[own + ".bias"])
        state[own + ".weight"], state[own + ".bias"] = weight, bias
    return state
