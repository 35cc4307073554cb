"""A weights file that is read and checked group by group.

The id of other weights files is a hash of all their bytes, which takes reading them all. This one comes in
groups of tensors: its header holds a hash of each, and its id is a hash of the header, so that a part is
checked as strictly as a whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors

from vrcodec.catalog import HEADER_LENGTH_BYTES, check_weights, weights_description
from vrcodec.errors import WeightsError
from vrcodec.kernels import Array, kernels_of


def group_name(name: str) -> str:
    """The group of a tensor: the first two parts of its name."""
    return ".".join(name.split(".")[:2])


def hash_groups(tensors: Mapping[str, Array]) -> dict[str, str]:
    """SHA-256 of every group, over the bytes of its tensors in the order of their names."""
    hashes = {group_name(name): hashlib.sha256() for name in tensors}
    for name in sorted(tensors):
        values = kernels_of(tensors[name]).to_numpy(tensors[name])
        hashes[group_name(name)].update(values.tobytes())
    return {group: digest.hexdigest() for group, digest in sorted(hashes.items())}


class GroupedWeights(Mapping[str, Array]):
    """Arrays by name, read on access. Raises WeightsError when the header does not match ``identity``."""

    def __init__(self, path: Path, identity: bytes) -> None:
        header = _read_header(path)
        check_weights(path, header, identity)
        self.description = weights_description(header)
        if not isinstance(self.description["digests"], dict):
            raise WeightsError(f"{path}: not a weights file of this version")
        self._path = path
        self._file = safetensors.safe_open(path, "np")
        self._names = sorted(self._file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Array:
        tensor: Array = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def read_group(self, group: str) -> dict[str, Array]:
        """The tensors of a group. Raises WeightsError when they do not match the header."""
        tensors = {name: self[name] for name in self if group_name(name) == group}
        if hash_groups(tensors) != {group: self.description["digests"].get(group)}:
            raise WeightsError(f"{self._path}: damaged; install these weights again")
        return tensors

    def check(self) -> None:
        """Check all groups against the header. Raises WeightsError."""
        for group in {group_name(name) for name in self}:
            self.read_group(group)


def _read_header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            length = file.read(HEADER_LENGTH_BYTES)
            # A damaged length must not claim more memory than the file has bytes.
            return length + file.read(min(int.from_bytes(length, "little"), path.stat().st_size))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
