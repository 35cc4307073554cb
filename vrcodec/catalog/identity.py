"""The id of a weights file, and what its header says of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vrcodec.errors import WeightsError

ID_BYTES = 8
# A safetensors file begins with an 8-byte length and a JSON header, which has our description at this key.
HEADER_LENGTH_BYTES = 8
METADATA_KEY = "vrcodec"


def name_generation(family: str, version: int) -> str:
    """Family and generation, such as qvrf-3; the family alone of weights without a number (``version`` 0)."""
    return f"{family}-{version}" if version else family


def encoder_path(path: Path) -> Path:
    """The file of tensors that only encoding needs, beside the weights at ``path``, if the family has one."""
    return path.with_suffix(".encoder" + path.suffix)


def weights_id(data: bytes) -> bytes:
    """The id of a weights file with content ``data``: the first 8 bytes of its SHA-256.

    Where the header holds hashes of the tensors, only the header is hashed, and suffices as ``data``.
    """
    header = data[: _header_end(data)]
    return hashlib.sha256(header if _has_digests(header) else data).digest()[:ID_BYTES]


def check_weights(path: Path, data: bytes, identity: bytes) -> None:
    """Raise WeightsError unless ``identity`` is the id of ``data``, the content of ``path``."""
    actual = weights_id(data)
    if actual != identity:
        raise WeightsError(
            f"{path}: these weights are {actual.hex()}, but their card says {identity.hex()}; "
            "install them again"
        )


def weights_description(data: bytes) -> dict[str, Any]:
    """The description of the model in the header of a weights file. Raises ValueError or KeyError."""
    header = json.loads(data[HEADER_LENGTH_BYTES : _header_end(data)])
    description: dict[str, Any] = json.loads(header["__metadata__"][METADATA_KEY])
    return description


def _header_end(data: bytes) -> int:
    return HEADER_LENGTH_BYTES + int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")


def _has_digests(header: bytes) -> bool:
    try:
        return "digests" in weights_description(header)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
