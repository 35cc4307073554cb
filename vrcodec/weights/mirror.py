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
    parse_id,
    parse_index,
)
from vrcodec.errors import WeightsError
from vrcodec.files import write_atomically
from vrcodec.models.weights import read_bytes
from vrcodec.weights.store import as_output_errors


def write_mirror(
    entries: Sequence[WeightsEntry], folder: Path, *, overwrite: bool = False
) -> Index:
    """Add weights to the hub at ``folder``, which is made if there is none; returns its index.

    Files come before the index, so that a reader never finds a name without a file. Raises WeightsError, also
    where a card says what no index can, or OutputError, also where a file of another content has such a name,
    unless ``overwrite``.
    """
    with as_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    releases = {release.id: release for release in read_index(folder / INDEX_NAME)}
    for entry in entries:
        releases[entry.id] = describe_release(entry, releases.values())
    index = sort_index(releases.values())
    document = build_index(index)
    # Names come from cards, which may be anybody's.
    parse_index(document, f"what is to be {folder / INDEX_NAME}")
    for entry in entries:
        for part, path in part_paths(entry).items():
            _put(folder / releases[entry.id].files[part].name, read_bytes(path), overwrite)
    write_atomically(folder / INDEX_NAME, document, overwrite=True)
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


def describe_release(entry: WeightsEntry, others: Iterable[Release] = ()) -> Release:
    """The release that ``entry`` is, as its card and its files say. Raises WeightsError.

    Its files are called by its generation, or by its id where that has no number, or one of ``others`` has it.
    """
    card = entry.card
    taken = any(other.name == entry.name and other.id != entry.id for other in others)
    stem = entry.name if entry.version and not taken else f"{entry.model}-{entry.id.hex()}"
    return Release(
        entry.model,
        entry.version,
        entry.id,
        entry.tune,
        str(card.get("date", "")),
        {
            part: _describe_file(path, stem + path.name.removeprefix(entry.path.stem))
            for part, path in part_paths(entry).items()
        },
        _id_replaced(entry),
        card.get("commit"),
        card.get("before"),
    )


def part_paths(entry: WeightsEntry) -> dict[str, Path]:
    """The files of weights that are here, by their part (`vrcodec.catalog.PARTS`)."""
    encoder = {"encoder": encoder_path(entry.path)} if entry.encoder_id else {}
    return {"weights": entry.path, **encoder, "card": entry.path.with_suffix(".json")}


def _id_replaced(entry: WeightsEntry) -> bytes | None:
    replaces = entry.card.get("replaces")
    try:
        return parse_id(replaces) if replaces else None
    except (TypeError, ValueError) as error:
        card = entry.path.with_suffix(".json")
        raise WeightsError(f"{card}: replaces {replaces!r}, which is no id of weights") from error


def _describe_file(path: Path, name: str) -> ReleasedFile:
    data = read_bytes(path)
    return ReleasedFile(name, len(data), hashlib.sha256(data).hexdigest())
