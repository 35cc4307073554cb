"""The installed weights, found by family or id along a search path; reads their cards only, without torch."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vrcodec.errors import WeightsError

WEIGHTS_VARIABLE = "VRCODEC_WEIGHTS"
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


def search_path() -> list[Path]:
    """Folders of weights, each once: those of ``VRCODEC_WEIGHTS``, then the one of the package."""
    variable = os.environ.get(WEIGHTS_VARIABLE, "")
    folders = [*(Path(part) for part in variable.split(os.pathsep) if part), _packaged_folder()]
    first = {os.path.realpath(folder): folder for folder in reversed(folders)}
    return [folder for folder in folders if first.get(os.path.realpath(folder)) is folder]


def _packaged_folder() -> Path:
    try:
        return Path(str(resources.files("vrcodec.shipped_weights")))
    except ModuleNotFoundError:
        # In a checkout that is not installed, the folder lies beside the package.
        return Path(__file__).parents[2] / "weights"


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
