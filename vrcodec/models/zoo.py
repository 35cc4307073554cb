"""Reading and writing weights files: safetensors, checked against their id."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from vrcodec.catalog import Entry, weights_id
from vrcodec.errors import WeightsError
from vrcodec.models import FAMILIES, VariableRateModel
from vrcodec.models.backbone import BackboneSize
from vrcodec.models.blocks import uninitialised

# Parameters of the trainable density: kept in the file so that training can go on from it.
DENSITY_PREFIX = "prior.density."
_HEADER_LENGTH_BYTES = 8
_METADATA_KEY = "vrcodec"


def pack_model(model: VariableRateModel) -> bytes:
    """Serialise frozen ``model``: matrices in float16, vectors and knots in float32, tables as integers."""
    tensors = {
        name: tensor.half() if _is_matrix(name, tensor) else tensor
        for name, tensor in model.state_dict().items()
    }
    contiguous = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    description = json.dumps({"family": model.family, "size": asdict(model.size)})
    # One key only: safetensors writes several in random order, and the id is a hash of the file.
    data: bytes = safetensors.torch.save(contiguous, {_METADATA_KEY: description})
    return data


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and name.endswith(".weight")


def unpack_model(data: bytes, name: str) -> VariableRateModel:
    """Inverse of `pack_model`, on the CPU; parameters keep the precision of the file until `prepare`.

    Raises WeightsError when the bytes are not weights of a known family.
    """
    try:
        description = _description(data)
        family = FAMILIES[description["family"]]
        size = BackboneSize(**description["size"])
        state = safetensors.torch.load(data)
        with uninitialised():
            model = family(size)
        state = {k: v for k, v in state.items() if not k.startswith(DENSITY_PREFIX)}
        model.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: not a weights file of this version: {error}") from error
    return model.float()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a weights file as float32, to start training from. Raises WeightsError."""
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as weights: {error}") from error
    return {k: v.float() for k, v in state.items() if v.is_floating_point()}


def load_trainable(entry: Entry) -> VariableRateModel:
    """The model of ``entry`` with the density of its prior, so that gradients flow through all of it.

    On the CPU, in float32 and evaluation mode. Raises WeightsError.
    """
    model = unpack_model(_load(entry.path, entry.id), str(entry.path))
    model.prior.attach_density()
    model.load_state_dict(load_state(entry.path), strict=False)
    return model.eval()


def _description(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    header = data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length]
    description: dict[str, Any] = json.loads(json.loads(header)["__metadata__"][_METADATA_KEY])
    return description


@lru_cache(maxsize=4)
def _load(path: Path, identity: bytes) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    if weights_id(data) != identity:
        raise WeightsError(
            f"{path}: these weights are {weights_id(data).hex()}, but their card says "
            f"{identity.hex()}; install them again"
        )
    return data


def load_model(
    entry: Entry, device: torch.device, precision: str = "auto", strip_units: int | None = None
) -> VariableRateModel:
    """The model of ``entry``, ready for coding on ``device``. Raises WeightsError."""
    model = unpack_model(_load(entry.path, entry.id), str(entry.path))
    model.prepare(device, precision, strip_units)
    return model
