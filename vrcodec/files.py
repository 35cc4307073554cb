"""Writing files so that what is there is either nothing or the whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from vrcodec.errors import OutputError

_NAME_LENGTH = 40


def check_absent(path: Path) -> None:
    """Raise OutputError when ``path`` exists."""
    if path.exists():
        raise OutputError(f"{path}: exists already; add -f to overwrite it")


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write through a temporary file beside ``path``, flushed to disk, then renamed over it.

    An interrupted write leaves nothing behind but possibly the temporary file of a killed process.
    Special files (/dev/null, a named pipe) are written directly. Raises OutputError.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        if not overwrite:
            check_absent(path)
        _replace(path, data, overwrite)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _replace(path: Path, data: bytes, overwrite: bool) -> None:
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    # The name may be as long as the file system allows; the temporary one must not be longer.
    prefix = f".{target.name[:_NAME_LENGTH]}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        _publish(Path(name), target, overwrite)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _publish(partial: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    try:
        # A link, unlike a rename, fails when someone else was faster.
        os.link(partial, target)
    except FileExistsError:
        check_absent(target)
        raise
    except OSError:
        # A file system without hard links.
        check_absent(target)
        partial.replace(target)
    else:
        partial.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
