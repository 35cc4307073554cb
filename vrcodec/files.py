"""Writing files so that what is there is either nothing or the whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from vrcodec.errors import OutputError

_NAME_LENGTH = 40
_NEW = os.O_CREAT | os.O_EXCL
# Linux: a file without a name, which nobody finds when the process is killed.
_NAMELESS = getattr(os, "O_TMPFILE", 0)

# Names of temporary files that this process may have made and not yet removed.
_partials: set[str] = set()


def check_absent(path: Path) -> None:
    """Raise OutputError when ``path`` exists."""
    if path.exists():
        raise OutputError(f"{path}: exists already; add -f to overwrite it")


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write to a file apart, flushed to disk, that then takes the place of what is at ``path``.

    That file has no name until it is whole, where the system can do so; else a write that is cut short leaves
    nothing behind but possibly the temporary file of a killed process. Special files (/dev/null, a named pipe)
    are written directly. Raises OutputError.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        if not overwrite:
            check_absent(path)
        target = path.resolve()
        with _partial_name(target) as name:
            if not _write_nameless(target, name, data, overwrite):
                _write_named(target, name, data, overwrite)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def discard_partials() -> None:
    """Remove all temporary files, for a process that ends now, whatever it was doing."""
    for name in tuple(_partials):
        with contextlib.suppress(OSError):
            os.unlink(name)


@contextlib.contextmanager
def _partial_name(target: Path) -> Iterator[str]:
    """A name beside ``target`` for the body to use; what has it afterwards is removed."""
    # The name may be as long as the file system allows; the temporary one must not be longer.
    own = f".{target.name[:_NAME_LENGTH]}.{secrets.token_hex(6)}.part"
    name = str(target.with_name(own))
    _partials.add(name)
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
        _partials.discard(name)


def _write_nameless(target: Path, name: str, data: bytes, overwrite: bool) -> bool:
    """Write ``target``; False where the system cannot do it like this, and nothing has changed."""
    if not _NAMELESS:
        return False
    try:
        handle = os.open(target.parent, _NAMELESS | os.O_WRONLY, 0o666)
    except OSError:
        return False
    with os.fdopen(handle, "wb") as file:
        _fill(file.fileno(), target, data)
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
    with os.fdopen(os.open(name, _NEW | os.O_WRONLY, 0o666), "wb") as file:
        _fill(file.fileno(), target, data)
    if overwrite:
        os.replace(name, target)
        return
    try:
        # A link, unlike a rename, fails when someone else was faster.
        os.link(name, target)
    except FileExistsError:
        check_absent(target)
        raise
    except OSError:
        # A file system without hard links.
        check_absent(target)
        os.replace(name, target)


def _fill(handle: int, target: Path, data: bytes) -> None:
    """Write everything, to the disk itself. What replaces a file has its permissions."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    if target.exists():
        os.fchmod(handle, target.stat().st_mode & 0o777)
    os.fsync(handle)


def _link(handle: int, name: str) -> None:
    """Give an open file a name that is free."""
    # With a folder named, Python asks the system to follow the link that /proc has; without, it does not.
    os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle, follow_symlinks=True)
