"""How weights files store networks of several widths, and how a model takes from them what a width needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vrcodec.models.slimming.increments import cut, join
from vrcodec.models.slimming.slicing import Source, as_stored, channels_first
from vrcodec.models.slimming.widths import Width
from vrcodec.models.weights_file import WeightsFile, group_of
from vrcodec.timing import stage

Widths = Mapping[int, Width]


class StoredWidths:
    """The tensors of a weights file, given out when a width is first used. ``widths``: narrow to wide."""

    def __init__(self, tensors: Mapping[str, Tensor], widths: Widths) -> None:
        self.tensors = tensors
        self._widths = widths
        self._taken: set[int] = set()

    def fill(self, width: int) -> None:
        """Give ``width`` what it has of its own."""
        if width in self._taken:
            return
        prefix = f"widths.{width}"
        with stage("load"):
            found = tensors_of(self.tensors, prefix)
            own = {name.removeprefix(prefix + "."): tensor for name, tensor in found.items()}
            self._widths[width].load_state_dict(own)
        self._taken.add(width)

    def source(self, width: int, network: str) -> Source:
        """Of the shared parameters of a network at ``width``."""
        needed = {k: own for k, own in self._widths.items() if k <= width}
        parts: dict[str, Tensor] = {}
        for narrower in needed:
            parts.update(tensors_of(self.tensors, f"{network}.{narrower}"))
        return _joined_source(needed, parts)


def tensors_of(stored: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    """The tensors of a group, checked where the file says how. Raises WeightsError."""
    if isinstance(stored, WeightsFile):
        return stored.group(group)
    return {name: tensor for name, tensor in stored.items() if group_of(name) == group}


def _part_name(width: int, name: str) -> str:
    """Under which a weights file has what ``width`` adds to a parameter of the wide networks."""
    network, own = name.split(".", 1)
    return f"{network}.{width}.{own}"


def _shapes(widths: Widths, name: str) -> Sequence[torch.Size]:
    """Shapes of the parameter ``name`` at ``widths``, its channels first."""
    network, own = name.split(".", 1)
    parameters = (width.templates[network].get_parameter(own) for width in widths.values())
    return [channels_first(name, parameter).shape for parameter in parameters]


def cut_parameter(widths: Widths, name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A parameter of the wide networks as a weights file has it; ``widths`` narrow to wide."""
    parts = cut(channels_first(name, tensor), _shapes(widths, name))
    return {_part_name(w, name): part for w, part in zip(widths, parts, strict=True) if len(part)}


def join_parameter(widths: Widths, name: str, stored: Mapping[str, Tensor]) -> Tensor:
    """Inverse of `cut_parameter`."""
    return as_stored(name, _joined_source(widths, stored)(name, _shapes(widths, name)[-1]))


def _joined_source(widths: Widths, stored: Mapping[str, Tensor]) -> Source:
    """The parameters at the last of ``widths``, from the parts of all of them."""

    def source(name: str, shape: torch.Size) -> Tensor:
        shapes = _shapes(widths, name)
        assert shapes[-1] == shape
        # A width whose parameter is as large as the one before has no part of it.
        nothing = stored[_part_name(min(widths), name)].new_empty(0)
        parts = [stored.get(_part_name(width, name), nothing) for width in widths]
        return join(parts, shapes).float()

    return source
