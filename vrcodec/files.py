"""Files: writing in one step, so that a target is there complete or not at all; reading up to a limit."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from vrcodec.errors import InputError, LimitError, OutputError

_STEM_LENGTH = 40
_PIECE_BYTES = 1 << 20
_STANDARD_FILES = {"stdout": 1, "stderr": 2}
_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>\d+)")
# Windows changes line ends in what is not binary.
_CREATE_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# Linux: a file without a name, which vanishes when the process is killed.
_NAMELESS = getattr(os, "O_TMPFILE", 0)

# Names of temporary files that this process may have made and not yet removed.
_partials: set[str] = set()


def read_at_most(file: IO[bytes], limit: int) -> bytes:
    """What is left of ``file``, up to ``limit`` bytes, in as much memory as that takes.

    A single call of `read` asks for memory for the whole limit first.
    """
    size = 0
    with contextlib.suppress(OSError):
        size = os.fstat(file.fileno()).st_size
    # A regular file comes in one piece, which is not copied.
    pieces = [file.read(min(size, limit))]
    left = limit - len(pieces[0])
    while left and (piece := file.read(min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def open_to_read(path: str | os.PathLike[str]) -> BinaryIO:
    """The file at ``path``. Raises InputError where no file can have such a name, or OSError."""
    try:
        return Path(path).open("rb")
    except ValueError as error:
        raise InputError(f"{os.fspath(path)!r}: cannot be read: {error}") from error


def read_whole(file: IO[bytes], limit: int) -> bytes:
    """What is left of ``file``. Raises LimitError where that is more than ``limit`` bytes."""
    data = read_at_most(file, limit + 1)
    if len(data) > limit:
        raise LimitError(f"more than {limit} bytes")
    return data


def check_absent(path: Path) -> None:
    """Raise OutputError when ``path`` exists."""
    if os.path.exists(path):
        raise OutputError(f"{path}: exists already; add -f to overwrite it")


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write to a temporary file, flushed to disk, that then replaces ``path``.

    The temporary file has no name until it is complete, where the system can do so; elsewhere a killed process
    may leave it behind. Special files (/dev/null, a named pipe) are written directly, and so are those that
    this process has open already, by a name such as /dev/fd/3. Raises OutputError.
    """
    try:
        handle = open_descriptor(path)
        if handle is not None:
            with open(handle, "wb", closefd=False) as file:
                file.write(data)
            return
        if os.path.exists(path) and not os.path.isfile(path):
            path.write_bytes(data)
            return
        if not overwrite:
            check_absent(path)
        target = Path(os.path.realpath(path))
        with _partial_name(target) as name:
            if not _write_nameless(target, name, data, overwrite):
                _write_named(target, name, data, overwrite)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def open_descriptor(path: Path) -> int | None:
    """The number of the open file that ``path`` stands for, such as 1 of /dev/stdout; None for other paths.

    Opened anew by such a name, a regular file would be truncated, and then replaced.
    """
    match = _DESCRIPTOR.fullmatch(str(path))
    if match is None:
        return None
    return int(match["number"]) if match["number"] else _STANDARD_FILES[match["name"]]


def discard_partials() -> None:
    """Remove all temporary files of this process, which is about to end."""
    for name in tuple(_partials):
        with contextlib.suppress(OSError):
            os.unlink(name)


@contextlib.contextmanager
def _partial_name(target: Path) -> Iterator[str]:
    """The path of a temporary file beside ``target``; if it still exists behind the body, it is removed."""
    # Shortened: the name of the target may have the full length that the file system allows.
    temporary = f".{target.name[:_STEM_LENGTH]}.{secrets.token_hex(6)}.part"
    name = str(target.with_name(temporary))
    _partials.add(name)
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
        _partials.discard(name)


def _write_nameless(target: Path, name: str, data: bytes, overwrite: bool) -> bool:
    """Write ``target`` by way of a nameless file; False, with nothing changed, where the system cannot."""
    if not _NAMELESS:
        return False
    try:
        handle = os.open(target.parent, _NAMELESS | os.O_WRONLY, 0o666)
    except OSError:
        return False
    with os.fdopen(handle, "wb") as file:
        _write_all(file.fileno(), target, data)
        try:
            _link(file.fileno(), name if overwrite else str(target))
        except FileExistsError:
            check_absent(target)
            raise
        except OSError:
            return False
        if overwrite:
            os.replace(name, target)
        return True


def _write_named(target: Path, name: str, data: bytes, overwrite: bool) -> None:
    with os.fdopen(os.open(name, _CREATE_NEW | os.O_WRONLY, 0o666), "wb") as file:
        _write_all(file.fileno(), target, data)
    if overwrite:
        os.replace(name, target)
        return
    try:
        # A link, unlike a rename, fails when the target has been created meanwhile.
        os.link(name, target)
    except FileExistsError:
        check_absent(target)
        raise
    except OSError:
        # A file system without hard links.
        check_absent(target)
        os.replace(name, target)


def _write_all(handle: int, target: Path, data: bytes) -> None:
    """Write ``data``, with the permissions of an existing ``target``, and flush it to disk."""
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(handle, remaining) :]
    if os.path.exists(target) and hasattr(os, "fchmod"):
        os.fchmod(handle, target.stat().st_mode & 0o777)
    os.fsync(handle)


def _link(handle: int, name: str) -> None:
    """Link an open, nameless file to ``name``, which must not exist."""
    # Without `src_dir_fd`, Python would not ask the system to follow the symbolic link in /proc.
    os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle, follow_symlinks=True)
