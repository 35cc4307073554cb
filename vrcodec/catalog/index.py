"""The index of released weights: which there are, and what their files must hold, wherever they come from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vrcodec.catalog.folders import packaged_folder
from vrcodec.catalog.identity import ID_BYTES, name_generation
from vrcodec.errors import WeightsError

INDEX_NAME = "index.json"
# An index with a greater number is for a later version of this program.
INDEX_FORMAT = 1
# The files of a set of weights, in the order in which they are fetched; the encoder's is one of some families.
PARTS = ("weights", "encoder", "card")

# Of a file of weights.
FILE_BYTES_MAX = 1 << 30

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FAMILY = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class ReleasedFile:
    """A file of ``size`` bytes. ``sha256``: in hexadecimal digits.

    It lies beside the index, under ``name``; ``urls`` are other places.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """A set of weights that was released, as generation ``version`` of its family.

    ``files``: of `PARTS`. ``replaces``: the id of the generation before, of the same family and tune.
    ``commit``: where weights that were replaced lie in the history of the project. ``before``: the version of
    vrcodec before which that was, if no release ever shipped them.
    """

    family: str
    version: int
    id: bytes
    tune: str
    date: str
    files: Mapping[str, ReleasedFile]
    replaces: bytes | None = None
    commit: str | None = None
    before: str | None = None

    @property
    def model(self) -> str:
        """What `--model` calls it: its family."""
        return self.family

    @property
    def name(self) -> str:
        """Family and generation, such as qvrf-3; the family alone of weights that have no number."""
        return name_generation(self.family, self.version)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files.values())


Index = tuple[Release, ...]


@lru_cache(maxsize=1)
def shipped_index() -> Index:
    """The index that came with this program. Raises WeightsError where that is damaged."""
    path = packaged_folder() / INDEX_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read: {error.strerror}; install vrcodec again"
        ) from error
    return parse_index(data, str(path))


def parse_index(data: bytes, name: str) -> Index:
    """The releases of an index, a JSON document called ``name``. Raises WeightsError.

    What it does not know of an entry it skips, so that later versions may add to it.
    """
    try:
        document = json.loads(data)
        number = int(document["format"])
        if number <= INDEX_FORMAT:
            return tuple(map(_parse_release, document["weights"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{name}: not an index of weights: {error!r}") from error
    raise WeightsError(
        f"{name}: an index of format {number}, which is for a later version of vrcodec"
    )


def _parse_release(entry: Mapping[str, Any]) -> Release:
    files = {part: _parse_file(entry["files"][part]) for part in PARTS if part in entry["files"]}
    if not {"weights", "card"} <= files.keys():
        raise ValueError("files are missing")
    if not files["card"].name.endswith(".json"):
        raise ValueError(f"{files['card'].name!r} is no card")
    replaces = entry.get("replaces")
    return Release(
        _match(_FAMILY, entry["family"]),
        int(entry["version"]),
        parse_id(entry["id"]),
        _match(_FAMILY, entry["tune"]),
        str(entry["date"]),
        files,
        None if replaces is None else parse_id(replaces),
        entry.get("commit"),
        entry.get("before"),
    )


def _parse_file(entry: Mapping[str, Any]) -> ReleasedFile:
    size = int(entry["size"])
    if not 1 <= size <= FILE_BYTES_MAX:
        raise ValueError(f"a size of {size}")
    return ReleasedFile(
        _match(_FILE_NAME, entry["name"]),
        size,
        _match(_SHA256, entry["sha256"]),
        tuple(map(str, entry.get("urls", ()))),
    )


def _match(pattern: re.Pattern[str], text: object) -> str:
    if isinstance(text, str) and pattern.fullmatch(text):
        return text
    raise ValueError(f"{text!r} is no name or hash")


def parse_id(text: str) -> bytes:
    """The id that hexadecimal digits stand for. Raises ValueError."""
    identity = bytes.fromhex(text)
    if len(identity) != ID_BYTES:
        raise ValueError(f"{text!r} is no id of weights")
    return identity


def build_index(releases: Index) -> bytes:
    """Inverse of `parse_index`."""
    document = {"format": INDEX_FORMAT, "weights": [_describe(release) for release in releases]}
    return (json.dumps(document, indent=1) + "\n").encode()


def _describe(release: Release) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": release.id.hex(),
        "family": release.family,
        "version": release.version,
        "tune": release.tune,
        "date": release.date,
    }
    optional = {
        "replaces": release.replaces and release.replaces.hex(),
        "commit": release.commit,
        "before": release.before,
    }
    entry |= {key: value for key, value in optional.items() if value is not None}
    entry["files"] = {
        part: {
            "name": file.name,
            "size": file.size,
            "sha256": file.sha256,
            **({"urls": list(file.urls)} if file.urls else {}),
        }
        for part, file in release.files.items()
    }
    return entry


def find_release(index: Index, identity: bytes) -> Release | None:
    """The release with this id, if the index has it."""
    return next((release for release in index if release.id == identity), None)
