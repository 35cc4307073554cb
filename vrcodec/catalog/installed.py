"""The weights that are here, found by family or id."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from vrcodec.catalog.folders import (
    named_folders,
    packaged_folder,
    same_folder,
    search_path,
    store_folder,
)
from vrcodec.catalog.identity import name_generation
from vrcodec.catalog.index import find_release, shipped_index
from vrcodec.errors import UsageError, WeightsError

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

    @property
    def version(self) -> int:
        """The generation of the model, from 1; 0 of weights that have no number."""
        version = self.card.get("version", 0)
        return version if isinstance(version, int) else 0

    @property
    def model(self) -> str:
        """What `--model` calls it: its family, or the name that its user gave to a network of their own."""
        return str(self.card.get("name", self.family))

    @property
    def name(self) -> str:
        """Model and generation, such as qvrf-3; the model alone of weights that have no number."""
        return name_generation(self.model, self.version)

    def max_width(self, kmac: float) -> int:
        """The widest network that takes ``kmac`` thousand multiplications a pixel to decode at most.

        Raises UsageError when none does, or there are no widths.
        """
        widths = self.card.get("widths")
        if not widths:
            raise UsageError(f"{self.family} has no width to choose; slim has")
        work = {int(w): figures["kmac_per_pixel"]["synthesis"] for w, figures in widths.items()}
        within = [width for width, needed in work.items() if needed <= kmac]
        if not within:
            narrowest = min(work)
            raise UsageError(
                f"no width of {self.family} decodes with {kmac:g} kMAC a pixel; the narrowest, {narrowest}, "
                f"takes {work[narrowest]:g}"
            )
        return max(within)


def read_card(card_path: Path) -> WeightsEntry:
    """The entry of a card, whose weights lie beside it. Raises OSError, or ValueError for another JSON file."""
    try:
        card = json.loads(card_path.read_bytes())
        encoder_id = bytes.fromhex(card["encoder_id"]) if "encoder_id" in card else None
        path = card_path.with_suffix(".safetensors")
        return WeightsEntry(str(card["family"]), bytes.fromhex(card["id"]), path, card, encoder_id)
    except (KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"no card of weights: {error!r}") from error


def installed_weights() -> list[WeightsEntry]:
    """Every weights file that has a readable card, in search order."""
    return [entry for folder in search_path() for entry in _entries_below(folder)]


def _entries_below(folder: Path) -> Iterator[WeightsEntry]:
    """Those in ``folder``; of the store, in its folders."""
    inner = "*/" if same_folder(folder, store_folder()) else ""
    # A family's main weights are <family>.safetensors; others come after.
    cards = map(Path, glob.glob(f"{glob.escape(str(folder))}/{inner}*.json"))
    for card_path in sorted(cards, key=lambda path: (len(path.stem), path.stem)):
        try:
            entry = read_card(card_path)
        except (OSError, ValueError):
            continue
        if os.path.isfile(entry.path):
            yield entry


def find_by_family(family: str, tune: str | None = None) -> WeightsEntry:
    """The weights of ``family`` that are tuned for ``tune``, or else for anything.

    ``family``: or the name of a network of one's own.

    Those of a folder that ``VRCODEC_WEIGHTS`` names come first; of the others the newest generation. Without a
    tune, those of the first folder that has any: for the eye (`DEFAULT_TUNE`), if they are there. Raises
    WeightsError.
    """
    groups = [list(_entries_below(folder)) for folder in named_folders()]
    released = [*_entries_below(store_folder()), *_entries_below(packaged_folder())]
    groups.append(sorted(released, key=lambda entry: -entry.version))
    of_family = [[entry for entry in group if entry.model == family] for group in groups]
    of_family = [group for group in of_family if group]
    if of_family:
        wanted = tune or DEFAULT_TUNE
        candidates = of_family[0] if tune is None else chain.from_iterable(of_family)
        return next((entry for entry in candidates if entry.tune == wanted), of_family[0][0])
    known = ", ".join(sorted({entry.model for group in groups for entry in group})) or "none"
    hint = ""
    if any(release.family == family for release in shipped_index()):
        hint = f"; get them with: vrcodec weights fetch {family}"
    raise WeightsError(f"no weights for model {family!r} are installed (installed: {known}){hint}")


def find_by_id(identity: bytes) -> WeightsEntry:
    """The weights with id ``identity``. Raises WeightsError, which names it and the command that gets them."""
    for entry in installed_weights():
        if entry.id == identity:
            return entry
    raise WeightsError(_describe_missing(identity), identity.hex())


def _describe_missing(identity: bytes) -> str:
    release, name = find_release(shipped_index(), identity), identity.hex()
    if release is None:
        return (
            f"made with weights {name}, which are not installed, and which this version does not know; ask for "
            f"them where the file comes from, or look into a hub: vrcodec weights fetch {name}"
        )
    return (
        f"made with weights {name} ({release.name}, {release.size / 1e6:.0f} MB), which are not installed; "
        f"get them with: vrcodec weights fetch {name}"
    )
