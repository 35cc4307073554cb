"""How weights files store slimmable networks, and how a model loads one width from them.

Wide tensors are split into increments, what each width adds to the one before: narrow ones need few of them.
The increment of a matrix has the shape of an L: new rows, and new columns of the rows before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.grouped_weights import GroupedWeights, group_name
from vrcodec.models.slimming.slicing import ParameterSource, group_by_channel, ungroup_channels
from vrcodec.models.slimming.widths import Width
from vrcodec.timing import stage

Widths = Mapping[int, Width]
Shapes = Sequence[Sequence[int]]


class StoredWidths:
    """The tensors of a weights file, loaded when a width is first used. ``widths``: narrow to wide."""

    def __init__(self, tensors: Mapping[str, Array], widths: Widths) -> None:
        self.tensors = tensors
        self._widths = widths
        self._loaded: set[int] = set()

    def load_width(self, width: int) -> None:
        """Load the parameters that only ``width`` has, once."""
        if width in self._loaded:
            return
        prefix = f"widths.{width}"
        with stage("load"):
            tensors = read_group(self.tensors, prefix)
            state = {name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items()}
            self._widths[width].load_state_dict(state)
        self._loaded.add(width)

    def parameter_source(self, width: int, network: str) -> ParameterSource:
        """The shared parameters of a network at ``width``."""
        needed = {k: w for k, w in self._widths.items() if k <= width}
        increments: dict[str, Array] = {}
        for narrower in needed:
            increments.update(read_group(self.tensors, f"{network}.{narrower}"))
        return _joining_source(needed, increments)


def read_group(stored: Mapping[str, Array], group: str) -> dict[str, Array]:
    """The tensors of a group, checked where the file has digests. Raises WeightsError."""
    if isinstance(stored, GroupedWeights):
        return stored.read_group(group)
    return {name: tensor for name, tensor in stored.items() if group_name(name) == group}


def _increment_name(width: int, name: str) -> str:
    """The name in a weights file of what ``width`` adds to a parameter of the wide networks."""
    network, parameter = name.split(".", 1)
    return f"{network}.{width}.{parameter}"


def _shapes(widths: Widths, name: str) -> Shapes:
    """Shapes of the parameter ``name`` at ``widths``, grouped by channel."""
    network, parameter = name.split(".", 1)
    narrow = (width.templates[network].get_parameter(parameter) for width in widths.values())
    return [group_by_channel(name, tensor).shape for tensor in narrow]


def split_parameter(widths: Widths, name: str, tensor: Array) -> dict[str, Array]:
    """Split a parameter of the wide networks into increments by name; ``widths`` narrow to wide."""
    increments = split_increments(group_by_channel(name, tensor), _shapes(widths, name))
    return {
        _increment_name(width, name): increment
        for width, increment in zip(widths, increments, strict=True)
        if len(increment)
    }


def join_parameter(widths: Widths, name: str, stored: Mapping[str, Array]) -> Array:
    """Inverse of `split_parameter`."""
    return ungroup_channels(name, _joining_source(widths, stored)(name, _shapes(widths, name)[-1]))


def _joining_source(widths: Widths, stored: Mapping[str, Array]) -> ParameterSource:
    """The parameters at the last of ``widths``, joined from the increments of all."""

    def source(name: str, shape: Sequence[int]) -> Array:
        shapes = _shapes(widths, name)
        assert tuple(shapes[-1]) == tuple(shape)
        # A width whose parameter is no larger than that of the width before stores no increment.
        empty = stored[_increment_name(min(widths), name)][:0]
        increments = [stored.get(_increment_name(width, name), empty) for width in widths]
        return join_increments(increments, shapes).astype(np.float32)

    return source


def split_increments(tensor: Array, shapes: Shapes) -> list[Array]:
    """Flat increments of ``tensor``, one for each of its leading ``shapes``, small to large."""
    return [
        kernels_of(tensor).xp.concatenate([tensor[slices].reshape(-1) for slices in regions])
        for regions in map(_increment_slices, _previous_shapes(shapes), shapes)
    ]


def join_increments(increments: Sequence[Array], shapes: Shapes) -> npt.NDArray[Any]:
    """Inverse of `split_increments`, up to the last of ``shapes``: one for each of ``increments``."""
    parts = [kernels_of(increment).to_numpy(increment) for increment in increments]
    whole = np.empty(shapes[-1], parts[0].dtype)
    for increment, previous, shape in zip(parts, _previous_shapes(shapes), shapes, strict=True):
        first = 0
        for slices in _increment_slices(previous, shape):
            window = whole[slices]
            last = first + math.prod(window.shape)
            window[...] = increment[first:last].reshape(window.shape)
            first = last
    return whole


def _previous_shapes(shapes: Shapes) -> Shapes:
    return [(0,) * len(shapes[0]), *shapes[:-1]]


def _increment_slices(previous: Sequence[int], shape: Sequence[int]) -> list[tuple[slice, ...]]:
    """Where ``shape`` goes beyond ``previous``: below it, and beside it."""
    below = (slice(previous[0], shape[0]), *map(slice, shape[1:]))
    if len(shape) == 1:
        return [below]
    beside = (slice(previous[0]), slice(previous[1], shape[1]), *map(slice, shape[2:]))
    return [below, beside]
