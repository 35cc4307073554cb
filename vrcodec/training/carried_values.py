"""Values that are carried through layers by hand, as weights of the networks that there are.

A value passes a leaky ReLU unchanged as two channels, x and -x, of which one is subtracted from the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, cat

from vrcodec.models.networks.layers import LEAKY_SLOPE, Conv2d, Pointwise, ResidualBlock

# What makes a value of the difference of its two channels.
_JOIN = 1 / (1 + LEAKY_SLOPE)


@dataclass(frozen=True)
class Carried:
    """Where a layer has the values: (channel, factor) of each, whose sum it is."""

    terms: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def channels(self) -> list[int]:
        """All that take part."""
        return [channel for terms in self.terms for channel, _ in terms]

    @staticmethod
    def single(channels: Sequence[int]) -> Carried:
        """Of values that are a channel each."""
        return Carried(tuple(((channel, 1.0),) for channel in channels))

    @staticmethod
    def pairs(channels: Sequence[int]) -> Carried:
        """Of values behind a leaky ReLU: the first half of ``channels`` has x, the other -x."""
        half = len(channels) // 2
        return Carried(
            tuple(
                ((a, _JOIN), (b, -_JOIN))
                for a, b in zip(channels[:half], channels[half:], strict=True)
            )
        )


def least_used(features: Tensor, count: int, *layers: Conv2d | Pointwise) -> list[int]:
    """``count`` channels of ``features`` (B, C, h, w): those that the ``layers`` behind use least."""
    strength = cat([layer.weight.reshape(*layer.weight.shape[:2], -1) for layer in layers])
    use = features.std((0, 2, 3)) * strength.pow(2).sum((0, 2)).sqrt()
    order: list[int] = use.argsort()[:count].tolist()
    return order


def stand_still(block: ResidualBlock, channels: list[int]) -> None:
    """Let ``channels`` pass ``block`` unchanged and unseen."""
    for layer in (block.mix, block.merge):
        reserve_outputs(layer, channels)
    for layer in (block.spread, block.gate):
        reserve_inputs(layer, channels)


def carry(
    layer: Conv2d | Pointwise,
    source: Carried,
    target: Carried,
    kernel: Tensor,
    *,
    phases: int = 1,
    exclusive: bool = True,
) -> Carried:
    """Let ``layer`` take the values by ``kernel`` from ``source`` to ``target``, where they are alone.

    ``phases``: outputs for each channel of ``target``, in front of a pixel shuffle. Not ``exclusive``: other
    outputs need what ``source`` has, too.
    """
    weight = layer.weight if layer.weight.ndim == 4 else layer.weight[..., None, None]
    if exclusive:
        reserve_inputs(layer, source.channels)
    reserve_outputs(layer, [phases * k + j for k in target.channels for j in range(phases)])
    for sources, targets in zip(source.terms, target.terms, strict=True):
        for channel, sign in targets:
            rows = slice(phases * channel, phases * (channel + 1))
            for other, factor in sources:
                weight[rows, other] = math.copysign(factor, factor * sign) * kernel
    return target


def reserve_outputs(layer: Conv2d | Pointwise, channels: list[int]) -> None:
    """Let nothing reach these outputs of ``layer``."""
    layer.weight[channels] = 0
    layer.bias[channels] = 0


def reserve_inputs(layer: Conv2d | Pointwise, channels: list[int]) -> None:
    """Let ``layer`` read nothing of these inputs."""
    layer.weight[:, channels] = 0
