"""Finding inputs: files, folders, patterns, and lists of such."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vrcodec.batch import places
from vrcodec.errors import InputError, UsageError
from vrcodec.picture.folders import SUFFIXES

# What a folder is searched for, to encode and to decode.
PICTURES = SUFFIXES | {".gif", ".pbm", ".apng", ".jpe", ".jfif"}
FILES = frozenset({".vrc"})


@dataclass
class Found:
    """``sources``: by each, where it lies below what was named, and so below the output folder.

    ``left_out``: how many files of folders are none by their names.
    """

    sources: dict[str, PurePosixPath] = field(default_factory=dict)
    left_out: int = 0


def find(inputs: Sequence[str], listed: Sequence[str], suffixes: frozenset[str]) -> Found:
    """Files and folders among ``inputs`` and ``listed``, what lies below the folders, and what patterns match.

    Files that are named are taken whatever their names; of folders, those with one of ``suffixes`` that are
    not hidden. A file that is ``listed`` keeps its folders below the output; one of ``inputs`` goes there by
    its name alone.
    """
    found = Found()
    for name in inputs:
        if any(sign in name for sign in "*?[") and not os.path.lexists(name):
            _add_pattern(found, name, suffixes)
        else:
            _add(found, name, PurePosixPath(Path(name).name), suffixes, PurePosixPath())
    for name in listed:
        below = mirrored(name)
        _add(found, name, below, suffixes, below)
    return found


def mirrored(source: str) -> PurePosixPath:
    """Where a place stands below an output folder: its own name, without root, drive or scheme.

    Raises InputError for one that would leave the folder.
    """
    if places.is_url(source):
        source = source.partition("://")[2]
    path = Path(source.removeprefix("file://"))
    relative = PurePosixPath(*path.parts[1:] if path.anchor else path.parts)
    if ".." in relative.parts or not relative.name:
        raise InputError(f"{source}: has no place below the output folder; name it without ..")
    return relative


def _add_pattern(found: Found, pattern: str, suffixes: frozenset[str]) -> None:
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
    root = Path(*parts[:fixed])
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise InputError(f"{pattern}: nothing has a name like this")
    for name in matches:
        # A folder's files are matched by themselves where ** is asked for.
        if "**" in parts and os.path.isdir(name):
            continue
        below = PurePosixPath(Path(name).relative_to(root))
        _add(found, name, below, suffixes, below)


def _add(
    found: Found, name: str, below: PurePosixPath, suffixes: frozenset[str], root: PurePosixPath
) -> None:
    """A file at ``below``, or the files of a folder below ``root``."""
    if not os.path.isdir(name):
        found.sources.setdefault(name, below)
        return
    for path in _walk(name):
        if Path(path).suffix.lower() in suffixes:
            relative = PurePosixPath(Path(path).relative_to(name))
            found.sources.setdefault(path, root / relative)
        else:
            found.left_out += 1


def _walk(folder: str) -> Iterator[str]:
    """Regular files that are not hidden, sorted; links are followed, but into no folder twice."""
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        facts = os.stat(root)
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(root, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield path


def read_list(data: bytes, *, null: bool) -> list[str]:
    """Names, one a line, or with ``null`` each ended by a zero byte; empty ones are left out."""
    parts = data.split(b"\0") if null else data.splitlines()
    names = [os.fsdecode(part) for part in parts if part.strip()]
    if not null and any("\0" in name for name in names):
        raise UsageError("the list has zero bytes in it; read it with --null")
    return names
