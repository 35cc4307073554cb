"""Slicing: narrow networks are the first channels of the kernels of a wide one (Yang et al., "Slimmable
Compressive Autoencoders for Practical Neural Image Compression", CVPR 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.layers import ResidualBlock
from vrcodec.models.networks.module import Module, ParameterDict

# Name and shape -> the leading part of a parameter of the wide network, grouped by channel.
ParameterSource = Callable[[str, Sequence[int]], Array]

# The two products of a gate lie one behind the other along its rows.
_GATE = "gate"
# Layers of a block whose outputs each width scales and shifts.
_SWITCHABLE = ("mix", "merge")


def leading_part(tensor: Array, shape: Sequence[int]) -> Array:
    """The first ``shape`` elements of ``tensor`` along its axes: a view."""
    return tensor[tuple(map(slice, shape))]


def group_by_channel(name: str, tensor: Array) -> Array:
    """A parameter with one row for each channel: those of a gate, (2C, ...), become (C, ..., 2)."""
    if not _is_gate(name):
        return tensor
    half = len(tensor) // 2
    return kernels_of(tensor).xp.stack((tensor[:half], tensor[half:]), -1)


def ungroup_channels(name: str, tensor: Array) -> Array:
    """Inverse of `group_by_channel`: the layout of the network."""
    if not _is_gate(name):
        return tensor
    return kernels_of(tensor).xp.concatenate((tensor[..., 0], tensor[..., 1]))


def _is_gate(name: str) -> bool:
    return name.split(".")[-2] == _GATE


def switchable_layers(net: Module, prefix: str) -> Iterator[tuple[str, int]]:
    """Names of the layers that a width scales and shifts, and their channels."""
    for name, module in net.named_modules():
        if isinstance(module, ResidualBlock):
            for layer in _SWITCHABLE:
                yield f"{prefix}.{name}.{layer}", len(getattr(module, layer).bias)


class SwitchableAffine(Module):
    """Scale and shift behind the branches of a network's blocks, for one width."""

    def __init__(self, net: Module, prefix: str) -> None:
        super().__init__()
        layers = dict(switchable_layers(net, prefix))
        ones = {_key(k): np.ones(n, np.float32) for k, n in layers.items()}
        self.scales = ParameterDict(ones)
        self.shifts = ParameterDict({k: 0 * v for k, v in ones.items()})

    def fold(self, layer: str, weight: Array, bias: Array) -> tuple[Array, Array]:
        """Fold scale and shift into the ``weight`` and ``bias`` of a layer."""
        scale, shift = self.scales[_key(layer)], self.shifts[_key(layer)]
        return weight * scale[:, None], bias * scale + shift


def _key(layer: str) -> str:
    return layer.replace(".", "_")


def narrow_state(
    net: Module, prefix: str, source: ParameterSource, switches: SwitchableAffine
) -> dict[str, Array]:
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
