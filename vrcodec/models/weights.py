"""Reading and writing weights files (safetensors), checked against their ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from vrcodec.catalog import (
    METADATA_KEY,
    WeightsEntry,
    check_weights,
    encoder_path,
    weights_description,
)
from vrcodec.errors import WeightsError
from vrcodec.kernels import Array, kernels_of
from vrcodec.models import FAMILIES, VariableRateModel
from vrcodec.models.base import ENCODER_PREFIX
from vrcodec.models.grouped_weights import GroupedWeights, hash_groups
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.module import uninitialised
from vrcodec.models.place import Backend
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling


def pack_model(model: VariableRateModel) -> bytes:
    """Serialise frozen ``model``: vectors and knots in float32, tables as integers.

    Matrices are in float16, unless the family keeps them whole.

    The tensors of `pack_encoder` are left out.
    """
    state = model.packed_state()
    return _serialise(model, {k: v for k, v in state.items() if not k.startswith(ENCODER_PREFIX)})


def pack_encoder(model: VariableRateModel) -> bytes | None:
    """Serialise the tensors that only encoding needs; None where ``model`` does not store them apart."""
    encoder = {k: v for k, v in model.packed_state().items() if k.startswith(ENCODER_PREFIX)}
    return _serialise(model, encoder) if encoder else None


def _serialise(model: VariableRateModel, state: Mapping[str, Array]) -> bytes:
    tensors = {name: kernels_of(value).to_numpy(value) for name, value in state.items()}
    contiguous = {
        name: np.ascontiguousarray(
            value, np.float16 if model.half_precision_weights and _is_matrix(name, value) else None
        )
        for name, value in tensors.items()
    }
    description: dict[str, Any] = {"family": model.family, "size": asdict(model.size)}
    if model.read_in_groups:
        description["digests"] = hash_groups(contiguous)
    # One key only: safetensors writes several in random order, and the id is a hash of the file.
    data: bytes = safetensors.numpy.save(contiguous, {METADATA_KEY: json.dumps(description)})
    return data


def _is_matrix(name: str, tensor: npt.NDArray[Any]) -> bool:
    return np.issubdtype(tensor.dtype, np.floating) and name.endswith(".weight")


def unpack_model(data: bytes, name: str, encoder: bytes | None = None) -> VariableRateModel:
    """Inverse of `pack_model`, in NumPy, with all real numbers in float32.

    ``encoder``: the bytes of `pack_encoder`; without them a model that has such a part only decodes. Raises
    WeightsError when the bytes are not weights of a known family.
    """
    with _as_weights_errors(name):
        state = safetensors.numpy.load(data)
        if encoder is not None:
            state |= safetensors.numpy.load(encoder)
        return _build_model(weights_description(data), state)


def _build_model(description: Mapping[str, Any], state: Mapping[str, Array]) -> VariableRateModel:
    family = FAMILIES[description["family"]]
    size = BackboneSize(**description["size"])
    with uninitialised():
        model = family(size)
        if any(name.startswith(ENCODER_PREFIX) for name in state):
            model.attach_encoder()
    model.load_weights(state)
    return model


@contextmanager
def _as_weights_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (
        SafetensorError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise WeightsError(f"{name}: not a weights file of this version: {error}") from error


def load_float_state(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All real-valued tensors of a weights file as training has them. Raises WeightsError."""
    state = _load_trainable_state(path)
    return {name: value.astype(np.float32) for name, value in state.items() if _is_real(value)}


def load_frozen_state(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All tensors of a weights file that do not learn, which are those of its tables. Raises WeightsError."""
    state = _load_trainable_state(path)
    return {name: value for name, value in state.items() if not _is_real(value)}


def _is_real(value: npt.NDArray[Any]) -> bool:
    return np.issubdtype(value.dtype, np.floating)


def _load_trainable_state(path: Path) -> Mapping[str, npt.NDArray[Any]]:
    data, encoder = read_bytes(path), encoder_path(path)
    with _as_weights_errors(str(path)):
        description = weights_description(data)
        family, size = FAMILIES[description["family"]], BackboneSize(**description["size"])
        stored = safetensors.numpy.load(data)
        if encoder.exists():
            stored |= safetensors.numpy.load(read_bytes(encoder))
        return family.trainable_state(size, stored)


def load_size(path: Path) -> BackboneSize:
    """The architecture of the weights at ``path``. Raises WeightsError."""
    size = load_description(path)["size"]
    with _as_weights_errors(str(path)):
        return BackboneSize(**size)


def load_description(path: Path) -> dict[str, Any]:
    """Family and size of the model whose weights lie at ``path``. Raises WeightsError."""
    data = read_bytes(path)
    with _as_weights_errors(str(path)):
        description = weights_description(data)
        return {"family": str(description["family"]), "size": dict(description["size"])}


def check_content(entry: WeightsEntry) -> int:
    """Read all files of ``entry``, check them against their ids, return their size. Raises WeightsError."""
    data = _read_checked(entry.path, entry.id)
    with _as_weights_errors(str(entry.path)):
        if "digests" in weights_description(data):
            GroupedWeights(entry.path, entry.id).check()
    if entry.encoder_id is None:
        return len(data)
    return len(data) + len(_read_checked(encoder_path(entry.path), entry.encoder_id))


def _read_checked(path: Path, identity: bytes) -> bytes:
    data = read_bytes(path)
    check_weights(path, data, identity)
    return data


# Cached for the next model of the same weights.
_read_cached = lru_cache(maxsize=4)(_read_checked)


def read_bytes(path: Path) -> bytes:
    """The content of a file of weights. Raises WeightsError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def load_model(
    entry: WeightsEntry,
    backend: Backend,
    tiling: Tiling = DEFAULT_TILING,
    *,
    encoder: bool = True,
) -> VariableRateModel:
    """The model of ``entry``, ready for coding with ``backend``. Raises WeightsError.

    Without ``encoder``, tensors that only encoding needs are not read where they have a file of their own.
    """
    model = open_model(entry, encoder)
    model.prepare(backend, tiling)
    return model


def open_model(entry: WeightsEntry, encoder: bool) -> VariableRateModel:
    """The model of ``entry``, before `VariableRateModel.prepare`. Raises WeightsError."""
    family = FAMILIES.get(entry.family)
    if family is None or not family.read_in_groups:
        encoder_id = entry.encoder_id if encoder else None
        encoder_data = _read_cached(encoder_path(entry.path), encoder_id) if encoder_id else None
        return unpack_model(_read_cached(entry.path, entry.id), str(entry.path), encoder_data)
    with _as_weights_errors(str(entry.path)):
        file = GroupedWeights(entry.path, entry.id)
        return _build_model(file.description, file)
