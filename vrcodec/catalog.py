"""The installed weights, found by family or id along a search path; reads their cards only, without torch."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vrcodec.errors import WeightsError

WEIGHTS_VARIABLE = "VRCODEC_WEIGHTS"
ID_BYTES = 8
# A safetensors file begins with an 8-byte length and a JSON header, which has our description at this key.
HEADER_LENGTH_BYTES = 8
METADATA_KEY = "vrcodec"

# The family that encodes when none is named, and what weights are tuned for where that is not named either
# and a family has several.
DEFAULT_MODEL = "qvrf"
DEFAULT_TUNE = "ssimulacra2"


@dataclass(frozen=True)
class WeightsEntry:
    """One weights file and its card. ``id``: its `weights_id`.

    ``encoder_id``: that of the file at `encoder_path`, if the family has one.
    """

    family: str
    id: bytes
    path: Path
    card: dict[str, Any]
    encoder_id: bytes | None = None

    @property
    def tune(self) -> str:
        """The metric of the distortion that they were trained for: psnr or ssimulacra2."""
        return str(self.card.get("tune", "psnr"))


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
    except (ValueError, KeyError, TypeError):
        return False


def search_path() -> list[Path]:
    """Folders of weights, each once: those of ``VRCODEC_WEIGHTS``, then the one of the package."""
    variable = os.environ.get(WEIGHTS_VARIABLE, "")
    folders = [*(Path(part) for part in variable.split(os.pathsep) if part), _packaged_folder()]
    first = {os.path.realpath(folder): folder for folder in reversed(folders)}
    return [folder for folder in folders if first.get(os.path.realpath(folder)) is folder]


def _packaged_folder() -> Path:
    try:
        return Path(str(resources.files("vrcodec.weights")))
    except ModuleNotFoundError:
        # In a checkout that is not installed, the folder lies beside the package.
        return Path(__file__).parents[1] / "weights"


def installed_weights() -> list[WeightsEntry]:
    """Every weights file that has a readable card, in search order."""
    return [entry for folder in search_path() for entry in _entries(folder)]


def _entries(folder: Path) -> Iterator[WeightsEntry]:
    # A family's main weights are <family>.safetensors; older ones, kept for older files, come after.
    cards = map(Path, glob.glob(f"{glob.escape(str(folder))}/*.json"))
    for card_path in sorted(cards, key=lambda path: (len(path.stem), path.stem)):
        path = card_path.with_suffix(".safetensors")
        try:
            card = json.loads(card_path.read_bytes())
            encoder_id = bytes.fromhex(card["encoder_id"]) if "encoder_id" in card else None
            entry = WeightsEntry(
                str(card["family"]), bytes.fromhex(card["id"]), path, card, encoder_id
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if os.path.isfile(path):
            yield entry


def find_by_family(family: str, tune: str | None = None) -> WeightsEntry:
    """The first weights of ``family`` on the search path that are tuned for ``tune``, or else for anything.

    Without a tune, those of the first folder that has any: for the eye (`DEFAULT_TUNE`), if they are there.
    Raises WeightsError.
    """
    entries = installed_weights()
    of_family = [entry for entry in entries if entry.family == family]
    if of_family:
        first = of_family[0]
        if tune is None:
            of_family = [entry for entry in of_family if entry.path.parent == first.path.parent]
        wanted = tune or DEFAULT_TUNE
        return next((entry for entry in of_family if entry.tune == wanted), first)
    known = ", ".join(sorted({entry.family for entry in entries})) or "none"
    raise WeightsError(f"no weights for model {family!r} are installed (installed: {known})")


def find_by_id(identity: bytes) -> WeightsEntry:
    """The weights with id ``identity``. Raises WeightsError, which names it and the installed ones."""
    entries = installed_weights()
    for entry in entries:
        if entry.id == identity:
            return entry
    known = ", ".join(f"{e.family} {e.id.hex()}" for e in entries) or "none"
    raise WeightsError(
        f"made with weights {identity.hex()}, which are not installed (installed: {known}); "
        f"put them in a folder named by {WEIGHTS_VARIABLE}"
    )
