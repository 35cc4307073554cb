"""A weights file of which only a part is read.

A file is known by its id, and the id of a file is a hash of it; but who reads a part cannot hash all. Such
a file therefore comes in groups of tensors, its header holds a hash of each group, and its id is that of
the header: what is read is checked as strictly as elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
from torch import Tensor

from vrcodec.catalog import HEADER_LENGTH_BYTES, check_weights, weights_description
from vrcodec.errors import WeightsError


def group_of(name: str) -> str:
    """The group of a tensor: the first two words of its name."""
    return ".".join(name.split(".")[:2])


def digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """SHA-256 of every group, over the bytes of its tensors in the order of their names."""
    hashes = {group_of(name): hashlib.sha256() for name in tensors}
    for name in sorted(tensors):
        hashes[group_of(name)].update(tensors[name].contiguous().numpy().tobytes())
    return {group: found.hexdigest() for group, found in sorted(hashes.items())}


class WeightsFile(Mapping[str, Tensor]):
    """Tensors by name; they are read when asked for. Raises WeightsError when ``identity`` does not fit."""

    def __init__(self, path: Path, identity: bytes) -> None:
        header = _read_header(path)
        check_weights(path, header, identity)
        self.description = weights_description(header)
        self._path = path
        self._file = safetensors.safe_open(path, "pt")
        self._names = sorted(self._file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def group(self, group: str) -> dict[str, Tensor]:
        """The tensors of a group. Raises WeightsError when they are not what the header says."""
        found = {name: self[name] for name in self if group_of(name) == group}
        if digests(found) != {group: self.description["digests"].get(group)}:
            raise WeightsError(f"{self._path}: damaged; install these weights again")
        return found

    def check(self) -> None:
        """Compare all groups with what the header says. Raises WeightsError."""
        for group in {group_of(name) for name in self}:
            self.group(group)


def _read_header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            length = file.read(HEADER_LENGTH_BYTES)
            # Not more than there is, whatever a damaged length says.
            return length + file.read(min(int.from_bytes(length, "little"), path.stat().st_size))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
