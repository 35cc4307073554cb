"""Reading and writing weights files (safetensors), checked against their ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from vrcodec.catalog import (
    METADATA_KEY,
    WeightsEntry,
    check_weights,
    encoder_path,
    weights_description,
)
from vrcodec.errors import WeightsError
from vrcodec.models import FAMILIES, VariableRateModel
from vrcodec.models.base import ENCODER_PREFIX
from vrcodec.models.grouped_weights import GroupedWeights, hash_groups
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.layers import uninitialised
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling


def pack_model(model: VariableRateModel) -> bytes:
    """Serialise frozen ``model``: matrices in float16, vectors and knots in float32, tables as integers.

    The tensors of `pack_encoder` are left out.
    """
    state = model.packed_state()
    return _serialise(model, {k: v for k, v in state.items() if not k.startswith(ENCODER_PREFIX)})


def pack_encoder(model: VariableRateModel) -> bytes | None:
    """Serialise the tensors that only encoding needs; None where ``model`` does not store them apart."""
    encoder = {k: v for k, v in model.packed_state().items() if k.startswith(ENCODER_PREFIX)}
    return _serialise(model, encoder) if encoder else None


def _serialise(model: VariableRateModel, state: Mapping[str, torch.Tensor]) -> bytes:
    tensors = {k: v.half() if _is_matrix(k, v) else v for k, v in state.items()}
    contiguous = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    description: dict[str, Any] = {"family": model.family, "size": asdict(model.size)}
    if model.read_in_groups:
        description["digests"] = hash_groups(contiguous)
    # One key only: safetensors writes several in random order, and the id is a hash of the file.
    data: bytes = safetensors.torch.save(contiguous, {METADATA_KEY: json.dumps(description)})
    return data


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and name.endswith(".weight")


def unpack_model(data: bytes, name: str, encoder: bytes | None = None) -> VariableRateModel:
    """Inverse of `pack_model`, on the CPU; parameters keep the precision of the file until `prepare`.

    ``encoder``: the bytes of `pack_encoder`; without them a model that has such a part only decodes. Raises
    WeightsError when the bytes are not weights of a known family.
    """
    with _as_weights_errors(name):
        state = safetensors.torch.load(data)
        if encoder is not None:
            state |= safetensors.torch.load(encoder)
        return _build_model(weights_description(data), state)


def _build_model(
    description: Mapping[str, Any], state: Mapping[str, torch.Tensor]
) -> VariableRateModel:
    family = FAMILIES[description["family"]]
    size = BackboneSize(**description["size"])
    with uninitialised():
        model = family(size)
        if any(name.startswith(ENCODER_PREFIX) for name in state):
            model.attach_encoder()
    model.load_weights(state)
    return model.float()


@contextmanager
def _as_weights_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: not a weights file of this version: {error}") from error


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a weights file as float32, to start training from. Raises WeightsError."""
    data, encoder = _read(path), encoder_path(path)
    with _as_weights_errors(str(path)):
        description = weights_description(data)
        family, size = FAMILIES[description["family"]], BackboneSize(**description["size"])
        stored = safetensors.torch.load(data)
        if encoder.exists():
            stored |= safetensors.torch.load(_read(encoder))
        state = family.trainable_state(size, stored)
    return {k: v.float() for k, v in state.items() if v.is_floating_point()}


def load_size(path: Path) -> BackboneSize:
    """The architecture of the weights at ``path``. Raises WeightsError."""
    data = _read(path)
    with _as_weights_errors(str(path)):
        return BackboneSize(**weights_description(data)["size"])


def load_trainable(entry: WeightsEntry) -> VariableRateModel:
    """The model of ``entry`` with the modules of training, so that gradients flow through all of it.

    On the CPU, in float32 and evaluation mode. Raises WeightsError.
    """
    model = _open_model(entry, encoder=True)
    model.attach_training()
    model.load_state_dict(load_state(entry.path), strict=False)
    return model.eval()


def load_hyperprior_model(path: Path) -> HyperpriorModel:
    """A model with a hyperprior from its weights file, on the CPU in evaluation mode. Raises WeightsError."""
    model = unpack_model(path.read_bytes(), str(path)).eval()
    if not isinstance(model, HyperpriorModel):
        raise WeightsError(f"{path}: {model.family} has no hyperprior")
    return model


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
    data = _read(path)
    check_weights(path, data, identity)
    return data


# Cached for the next model of the same weights.
_read_cached = lru_cache(maxsize=4)(_read_checked)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def load_model(
    entry: WeightsEntry,
    device: torch.device,
    precision: str = "auto",
    tiling: Tiling = DEFAULT_TILING,
    *,
    encoder: bool = True,
) -> VariableRateModel:
    """The model of ``entry``, ready for coding on ``device``. Raises WeightsError.

    Without ``encoder``, tensors that only encoding needs are not read where they have a file of their own.
    """
    model = _open_model(entry, encoder)
    model.prepare(device, precision, tiling)
    return model


def _open_model(entry: WeightsEntry, encoder: bool) -> VariableRateModel:
    family = FAMILIES.get(entry.family)
    if family is None or not family.read_in_groups:
        encoder_id = entry.encoder_id if encoder else None
        encoder_data = _read_cached(encoder_path(entry.path), encoder_id) if encoder_id else None
        return unpack_model(_read_cached(entry.path, entry.id), str(entry.path), encoder_data)
    with _as_weights_errors(str(entry.path)):
        file = GroupedWeights(entry.path, entry.id)
        return _build_model(file.description, file)
