"""Reading and writing by name: paths of this machine, and URLs that fsspec knows (s3://, gs://, memory:// ...).

The packages behind a URL (s3fs, gcsfs ...) are the user's to install. Errors are InputError and OutputError.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vrcodec.errors import InputError, LimitError, OutputError, UsageError
from vrcodec.files import write_atomically
from vrcodec.limits import DEFAULT_LIMITS

# A letter alone is a drive.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)")
# Stores where an object is there as a whole or not at all, once it has been put.
_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"})


def is_url(place: str) -> bool:
    """Whether ``place`` is for fsspec; file:// is a path like others."""
    return bool(_URL.match(place)) and not place.startswith("file://")


def path_of(place: str) -> Path:
    """A place of this machine as a path."""
    return Path(place.removeprefix("file://"))


def absolute(place: str) -> str:
    """The same place as it is called in any working folder."""
    return place if is_url(place) else os.path.abspath(path_of(place))


def join(folder: str, relative: str) -> str:
    """The place ``relative`` below ``folder``, of which both may be URLs or paths."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{relative}"
    return str(path_of(folder) / relative)


def read(place: str) -> bytes:
    """All bytes. Raises InputError or LimitError."""
    limit = DEFAULT_LIMITS.max_file_bytes
    with _as_input_error(place):
        if is_url(place):
            system, path = _system(place)
            data = bytes(system.cat_file(path))
        else:
            with path_of(place).open("rb") as file:
                data = file.read(limit + 1)
    if len(data) > limit:
        raise LimitError(f"{place}: more than {limit} bytes")
    return data


def read_range(place: str, start: int, end: int) -> bytes:
    """Bytes from ``start`` up to ``end``, or as far as there are any. Raises InputError."""
    with _as_input_error(place):
        if is_url(place):
            system, path = _system(place)
            end = min(end, int(system.size(path)))
            data = bytes(system.cat_file(path, start=start, end=end))
            # A web server may send the whole instead.
            return data if len(data) <= end - start else data[start:end]
        with path_of(place).open("rb") as file:
            file.seek(start)
            return file.read(max(end - start, 0))


def size(place: str) -> int | None:
    """How many bytes there are; None where nothing is. Raises InputError."""
    with _as_input_error(place):
        try:
            if is_url(place):
                system, path = _system(place)
                # What a listing said before is out of date.
                system.invalidate_cache()
                return int(system.info(path)["size"])
            return path_of(place).stat().st_size
        except FileNotFoundError:
            return None


def check_absent(place: str) -> None:
    """Raise OutputError when there is something at ``place``."""
    if size(place) is not None:
        raise OutputError(f"{place}: exists already; add -f to overwrite it")


def is_folder(place: str) -> bool:
    """Whether files may lie below. Raises InputError."""
    if not is_url(place):
        return path_of(place).is_dir()
    with _as_input_error(place):
        system, path = _system(place)
        return bool(system.isdir(path))


def below(folder: str) -> Iterator[str]:
    """The places of all objects below a URL, in the order of their names. Raises InputError."""
    with _as_input_error(folder):
        system, path = _system(folder)
        names = sorted(system.find(path))
    for name in names:
        yield system.unstrip_protocol(name)


def write(place: str, data: bytes, *, overwrite: bool) -> None:
    """Write whole or not at all, below folders that are made where they lack. Raises OutputError."""
    if not is_url(place):
        path = path_of(place)
        _make_folder(path.parent)
        write_atomically(path, data, overwrite=overwrite)
        return
    if not overwrite:
        check_absent(place)
    try:
        _put(place, data)
    except Exception as error:
        raise OutputError(f"{place}: cannot be written: {_reason(error)}") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror or error}") from error


def _put(place: str, data: bytes) -> None:
    system, path = _system(place)
    match = _URL.match(place)
    if match and match[1] in _WHOLE:
        system.pipe_file(path, data)
        return
    partial = f"{path}.{os.getpid()}.part"
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(partial, data)
    system.mv(partial, path)


def _system(place: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises UsageError for one that is not to be had."""
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(
            f"{place}: needs the extra 'remote': pip install 'vrcodec[remote]'"
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{place}: {error}") from error
    return system, path


@contextmanager
def _as_input_error(place: str) -> Iterator[None]:
    """File systems raise what they like."""
    try:
        yield
    except (UsageError, LimitError):
        raise
    except Exception as error:
        raise InputError(f"{place}: cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
