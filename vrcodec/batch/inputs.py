"""Finding inputs: files, folders, glob patterns, and lists of such."""

from __future__ import annotations

import codecs
import errno
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vrcodec.batch import storage
from vrcodec.batch.items import Outcome
from vrcodec.batch.log import LOG_NAME
from vrcodec.errors import InputError, UsageError
from vrcodec.picture.folders import PICTURE_SUFFIXES, missing_extra

# What a folder is searched for, to encode and to decode.
ENCODE_SUFFIXES = PICTURE_SUFFIXES | {".gif", ".pbm", ".apng", ".jpe", ".jfif"}
DECODE_SUFFIXES = frozenset({".vrc"})

_BROKEN_LINK = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass
class FoundInputs:
    """``sources``: by each, its path below what was named, and so below the output folder.

    ``left_out``: files of folders that are not taken, each with its kind: its suffix, and the extra that it
    needs; "broken link", or what else it is. ``unreadable``: folders whose files nobody can list, and why.
    """

    sources: dict[str, PurePosixPath] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def failures(self) -> list[Outcome]:
        """An outcome for each folder that is unreadable."""
        return [
            Outcome(folder, "", "failed", error=f"{folder}: {why}", error_class=InputError.__name__)
            for folder, why in sorted(self.unreadable.items())
        ]


def find_inputs(
    inputs: Sequence[str],
    listed: Sequence[str],
    suffixes: frozenset[str],
    *,
    beside_sources: bool = False,
) -> FoundInputs:
    """Files and folders among ``inputs`` and ``listed``, what lies below the folders, and what patterns match.

    Files that are named are taken whatever their names; of folders, those with one of ``suffixes`` that are
    not hidden. A file that is ``listed`` keeps its folders below the output; one of ``inputs`` goes there by
    its name alone. ``beside_sources``: there is no output folder, and so no way out of it. Raises InputError.
    """
    found = FoundInputs()
    for name in inputs:
        if is_pattern(name):
            _add_pattern(found, name, suffixes)
        else:
            _add(found, name, PurePosixPath(Path(name).name), suffixes, PurePosixPath())
    for name in map(storage.without_file_scheme, listed):
        relative = PurePosixPath(Path(name).name) if beside_sources else relative_output_path(name)
        _add(found, name, relative, suffixes, relative)
    return found


def is_pattern(name: str) -> bool:
    """Whether ``name`` is a glob pattern: no URL, and no file that happens to have such a name."""
    return _has_wildcard(name) and not storage.is_url(name) and not os.path.lexists(name)


def _has_wildcard(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def relative_output_path(source: str) -> PurePosixPath:
    """The path below an output folder that mirrors a source: its own, without root, drive or scheme.

    Raises InputError for one that would leave the folder.
    """
    if storage.is_url(source):
        source = source.partition("://")[2]
    path = storage.local_path(source)
    relative = PurePosixPath(*path.parts[1:] if path.anchor else path.parts)
    if ".." in relative.parts or not relative.name:
        raise InputError(f"{source}: has no place below the output folder; name it without ..")
    return relative


def _add_pattern(found: FoundInputs, pattern: str, suffixes: frozenset[str]) -> None:
    parts = Path(pattern).parts
    root = Path(*parts[: next(i for i, part in enumerate(parts) if _has_wildcard(part))])
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise InputError(f"{pattern}: nothing has a name like this")
    for name in matches:
        # ** matches the files of a folder by themselves.
        if "**" in parts and os.path.isdir(name):
            continue
        relative = PurePosixPath(Path(name).relative_to(root))
        _add(found, name, relative, suffixes, relative)


def _add(
    found: FoundInputs,
    name: str,
    relative: PurePosixPath,
    suffixes: frozenset[str],
    root: PurePosixPath,
) -> None:
    """A file, to be written at ``relative``, or the files of a folder, below ``root``."""
    if not os.path.isdir(name):
        found.sources.setdefault(name, relative)
        return
    for path in _walk(name, found.unreadable):
        if kind := _kind_left_out(path, suffixes):
            found.left_out[path] = kind
        else:
            found.sources.setdefault(path, root / PurePosixPath(Path(path).relative_to(name)))


def _kind_left_out(path: str, suffixes: frozenset[str]) -> str:
    """Why a file of a folder is not taken; empty for one that is."""
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        return suffix or "without a suffix"
    if extra := missing_extra(suffix):
        return f"{suffix} without vrcodec[{extra}]"
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else "special file"
    except OSError as error:
        # Whoever reads another file that cannot be looked at says why.
        return "broken link" if error.errno in _BROKEN_LINK else ""


def _walk(folder: str, unreadable: dict[str, str]) -> Iterator[str]:
    """Files that are not hidden, sorted, but for our logs; links are followed, but into no folder twice."""
    visited: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        unreadable[error.filename] = f"cannot be listed: {error.strerror}"

    for root, folders, names in os.walk(folder, onerror=note, followlinks=True):
        try:
            status = os.stat(root)
        except OSError as error:  # Removed since it was listed.
            note(error)
            continue
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name != LOG_NAME:
                yield os.path.join(root, name)


def parse_list(data: bytes, *, null: bool) -> list[str]:
    """Names, one a line, or with ``null`` each ended by a zero byte; empty ones are left out.

    A byte order mark is no part of the first name; a list in UTF-16, as Windows writes them, is known by one.
    Raises UsageError for zero bytes where lines are expected, and for a list in UTF-16 that is damaged.
    """
    data = _without_byte_order_mark(data)
    parts = data.split(b"\0") if null else data.splitlines()
    names = [os.fsdecode(part) for part in parts if part.strip()]
    if not null and any("\0" in name for name in names):
        raise UsageError("the list has zero bytes in it; read it with --null")
    return names


def _without_byte_order_mark(data: bytes) -> bytes:
    """``data`` in the encoding of file names."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return os.fsencode(data.decode("utf-16"))
        except UnicodeError as error:
            raise UsageError(f"the list begins as UTF-16 does, and is none: {error}") from error
    return data.removeprefix(codecs.BOM_UTF8)
