"""Making a hub: a folder with weights and an index, as a web server can show it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from vrcodec.catalog import (
    INDEX_NAME,
    Index,
    Release,
    ReleasedFile,
    WeightsEntry,
    build_index,
    encoder_path,
    parse_index,
)
from vrcodec.files import write_atomically
from vrcodec.models.weights import read_bytes
from vrcodec.weights.store import as_output_errors


def write_mirror(
    entries: Sequence[WeightsEntry], folder: Path, *, overwrite: bool = False
) -> Index:
    """Add weights to the hub at ``folder``, which is made if there is none; returns its index.

    Files come before the index, so that a reader never finds a name without a file. Raises WeightsError, or
    OutputError, also where a file of another content has such a name, unless ``overwrite``.
    """
    with as_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    releases = {release.id: release for release in read_index(folder / INDEX_NAME)}
    for entry in entries:
        release = describe_release(entry)
        for part, path in part_paths(entry).items():
            _put(folder / release.files[part].name, read_bytes(path), overwrite)
        releases[entry.id] = release
    index = sort_index(releases.values())
    write_atomically(folder / INDEX_NAME, build_index(index), overwrite=True)
    return index


def _put(path: Path, data: bytes, overwrite: bool) -> None:
    """Write a file, unless it is there as it should be."""
    if not (path.is_file() and read_bytes(path) == data):
        write_atomically(path, data, overwrite=overwrite)


def sort_index(releases: Iterable[Release]) -> Index:
    """By family and generation."""
    return tuple(sorted(releases, key=lambda release: (release.family, release.version)))


def read_index(path: Path) -> Index:
    """The index at ``path``; an empty one where there is none. Raises WeightsError."""
    return parse_index(read_bytes(path), str(path)) if path.exists() else ()


def describe_release(entry: WeightsEntry) -> Release:
    """The release that ``entry`` is, as its card and its files say. Raises WeightsError."""
    card = entry.card
    replaces = card.get("replaces")
    return Release(
        entry.model,
        entry.version,
        entry.id,
        entry.tune,
        str(card.get("date", "")),
        {part: _describe_file(entry, path) for part, path in part_paths(entry).items()},
        bytes.fromhex(replaces) if replaces else None,
        card.get("commit"),
        card.get("before"),
    )


def part_paths(entry: WeightsEntry) -> dict[str, Path]:
    """The files of weights that are here, by their part (`vrcodec.catalog.PARTS`)."""
    encoder = {"encoder": encoder_path(entry.path)} if entry.encoder_id else {}
    return {"weights": entry.path, **encoder, "card": entry.path.with_suffix(".json")}


def _describe_file(entry: WeightsEntry, path: Path) -> ReleasedFile:
    data = read_bytes(path)
    # Generations have names of their own; what has no number could be anybody's.
    stem = entry.name if entry.version else f"{entry.model}-{entry.id.hex()}"
    name = stem + path.name.removeprefix(entry.path.stem)
    return ReleasedFile(name, len(data), hashlib.sha256(data).hexdigest())
