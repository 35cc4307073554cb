"""Storage: reading and writing at a location, a local path or a URL that fsspec knows (s3://, gs://, memory://).

The packages behind a URL (s3fs, gcsfs ...) are the user's to install. Errors are InputError and OutputError.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vrcodec.errors import InputError, LimitError, OutputError, UsageError
from vrcodec.files import read_at_most, write_atomically
from vrcodec.limits import DEFAULT_LIMITS

# A single letter is a drive; fsspec chains file systems by ::, which a file may have in its name.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)(?:://|::.*://)", re.DOTALL)
# Stores where an object appears as a whole or not at all.
_ATOMIC_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"})


def is_url(location: str) -> bool:
    """Whether ``location`` is for fsspec; file:// is a local path."""
    return bool(_URL.match(location)) and not location.startswith("file://")


def without_file_scheme(location: str) -> str:
    """A local location as a path; others as they are."""
    return location.removeprefix("file://")


def local_path(location: str) -> Path:
    """The path of a local location."""
    return Path(without_file_scheme(location))


def make_absolute(location: str) -> str:
    """The same location, whatever the working folder is."""
    return location if is_url(location) else os.path.abspath(local_path(location))


def join(folder: str, relative: str) -> str:
    """The location of ``relative`` below ``folder``."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{relative}"
    return str(local_path(folder) / relative)


def read(location: str) -> bytes:
    """All bytes. Raises InputError or LimitError."""
    limit = DEFAULT_LIMITS.max_file_bytes
    with _as_input_error(location):
        if is_url(location):
            system, path = _file_system(location)
            data = bytes(system.cat_file(path))
        else:
            with local_path(location).open("rb") as file:
                data = read_at_most(file, limit + 1)
    if len(data) > limit:
        raise LimitError(f"{location}: more than {limit} bytes")
    return data


def read_range(location: str, start: int, end: int) -> bytes:
    """Bytes from ``start`` up to ``end``, or the end of the file. Raises InputError."""
    with _as_input_error(location):
        if is_url(location):
            system, path = _file_system(location)
            end = min(end, int(system.size(path)))
            data = bytes(system.cat_file(path, start=start, end=end))
            # A web server may ignore the range and send the whole file.
            return data if len(data) <= end - start else data[start:end]
        with local_path(location).open("rb") as file:
            file.seek(start)
            return file.read(max(end - start, 0))


def size(location: str) -> int | None:
    """Bytes of a file; None where there is none. Raises InputError."""
    with _as_input_error(location):
        try:
            if is_url(location):
                system, path = _file_system(location)
                # An earlier listing may be out of date.
                system.invalidate_cache()
                return int(system.info(path)["size"])
            return local_path(location).stat().st_size
        except FileNotFoundError:
            return None


def check_absent(location: str) -> None:
    """Raise OutputError when ``location`` exists."""
    if size(location) is not None:
        raise OutputError(f"{location}: exists already; add -f to overwrite it")


def is_same_file(location: str, other: str) -> bool:
    """Whether both are one local file."""
    if is_url(location) or is_url(other):
        return False
    # Names that nothing has, or may have, are no file.
    with suppress(OSError, ValueError):
        return os.path.samefile(local_path(location), local_path(other))
    return False


def is_pipe(location: str) -> bool:
    """Whether ``location`` is local, and can be read but once: <(...), /dev/stdin."""
    path = local_path(location)
    return not is_url(location) and os.path.exists(path) and not os.path.isfile(path)


def is_folder(location: str) -> bool:
    """Whether ``location`` is a folder. Raises InputError."""
    if not is_url(location):
        return os.path.isdir(local_path(location))
    with _as_input_error(location):
        system, path = _file_system(location)
        return bool(system.isdir(path))


def list_files(folder: str) -> Iterator[str]:
    """The URLs of all files below a URL, sorted. Raises InputError."""
    with _as_input_error(folder):
        system, path = _file_system(folder)
        names = sorted(system.find(path))
    for name in names:
        yield system.unstrip_protocol(name)


def write(location: str, data: bytes, *, overwrite: bool) -> None:
    """Write atomically; folders that are missing are made. Raises OutputError."""
    if not is_url(location):
        path = local_path(location)
        _make_folder(path.parent)
        write_atomically(path, data, overwrite=overwrite)
        return
    if not overwrite:
        check_absent(location)
    try:
        _upload(location, data)
    except Exception as error:
        raise OutputError(f"{location}: cannot be written: {_reason(error)}") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be made: {_reason(error)}") from error


def _upload(location: str, data: bytes) -> None:
    system, path = _file_system(location)
    match = _URL.match(location)
    if match and match[1] in _ATOMIC_SCHEMES:
        system.pipe_file(path, data)
        return
    partial = f"{path}.{os.getpid()}.part"
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(partial, data)
    system.mv(partial, path)


def _file_system(location: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises UsageError where fsspec lacks its protocol."""
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(
            f"{location}: needs the extra 'remote': pip install 'vrcodec[remote]'"
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{location}: {error}") from error
    return system, path


@contextmanager
def _as_input_error(location: str) -> Iterator[None]:
    """Errors of the body as InputError: file systems raise all kinds."""
    try:
        yield
    except (UsageError, LimitError):
        raise
    except Exception as error:
        raise InputError(f"{location}: cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None)
    if not reason and isinstance(error, FileNotFoundError):
        # File systems of URLs say no more than the name.
        reason = os.strerror(errno.ENOENT)
    return str(reason or error or type(error).__name__)
