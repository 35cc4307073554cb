"""Which weights are installed: looked up by id along a search path, from their cards, without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vrcodec.errors import WeightsError

ENVIRONMENT = "VRCODEC_WEIGHTS"
ID_BYTES = 8

# The family that encodes when none is named.
DEFAULT_MODEL = "qvrf"


@dataclass(frozen=True)
class Entry:
    """One weights file and its card. ``id``: first 8 bytes of the file's SHA-256."""

    family: str
    id: bytes
    path: Path
    card: dict[str, Any]


def weights_id(data: bytes) -> bytes:
    """The id of a weights file with this content."""
    return hashlib.sha256(data).digest()[:ID_BYTES]


def search_path() -> list[Path]:
    """Folders to look in: those of ``VRCODEC_WEIGHTS``, then the ones that came with the package."""
    named = os.environ.get(ENVIRONMENT, "")
    folders = [Path(part) for part in named.split(os.pathsep) if part]
    return [*folders, _packaged()]


def _packaged() -> Path:
    try:
        return Path(str(resources.files("vrcodec.weights")))
    except ModuleNotFoundError:
        # In a checkout that is not installed, the folder lies beside the package.
        return Path(__file__).parents[1] / "weights"


def installed() -> list[Entry]:
    """Every weights file that has a readable card, in search order."""
    return [entry for folder in search_path() for entry in _entries(folder)]


def _entries(folder: Path) -> Iterator[Entry]:
    # A family's main weights are <family>.safetensors; older ones, kept for older files, come after.
    for card_path in sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem)):
        path = card_path.with_suffix(".safetensors")
        try:
            card = json.loads(card_path.read_bytes())
            entry = Entry(str(card["family"]), bytes.fromhex(card["id"]), path, card)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if path.is_file():
            yield entry


def find_by_family(family: str) -> Entry:
    """The first weights of ``family`` on the search path. Raises WeightsError."""
    entries = installed()
    for entry in entries:
        if entry.family == family:
            return entry
    known = ", ".join(sorted({entry.family for entry in entries})) or "none"
    raise WeightsError(f"no weights for model {family!r} are installed (installed: {known})")


def find_by_id(identity: bytes) -> Entry:
    """The weights that a file names. Raises WeightsError, naming both sides."""
    entries = installed()
    for entry in entries:
        if entry.id == identity:
            return entry
    have = ", ".join(f"{e.family} {e.id.hex()}" for e in entries) or "none"
    raise WeightsError(
        f"made with weights {identity.hex()}, which are not installed (installed: {have}); "
        f"put them in a folder named by {ENVIRONMENT}"
    )
