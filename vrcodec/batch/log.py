"""The log: a line of JSON for every item, from which a later run resumes."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from vrcodec.batch import storage
from vrcodec.batch.items import Outcome
from vrcodec.errors import OutputError
from vrcodec.files import open_descriptor

# In the output folder, where no other is named.
LOG_NAME = "vrcodec-log.jsonl"
# Object stores cannot append: the whole log is uploaded anew, so often at most.
_UPLOAD_SECONDS = 30.0


class Log:
    """Appends outcomes to a log at a local path or URL; ``-`` is stdout.

    Of a killed run, all but the last line can be read.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._remote = storage.is_url(location)
        self._content = _read_existing(location) if self._remote else b""
        self._uploaded_at = time.monotonic()
        self._file: IO[bytes] | None = None if self._remote else _open_to_append(location)

    def add(self, outcome: Outcome) -> None:
        """Append a line. Raises OutputError."""
        record = {**outcome.as_record(), "time": round(time.time(), 3)}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            self._content += line
            if time.monotonic() - self._uploaded_at > _UPLOAD_SECONDS:
                self._upload()
            return
        with _as_output_error(self._location):
            self._file.write(line)
            self._file.flush()

    def _upload(self) -> None:
        storage.write(self._location, self._content, overwrite=True)
        self._uploaded_at = time.monotonic()

    def close(self) -> None:
        """Write what is left. Raises OutputError."""
        if self._file is None:
            self._upload()
            return
        # Also where a line could not be written, and still is in the buffer.
        with _as_output_error(self._location):
            self._file.close()


@contextmanager
def _as_output_error(location: str) -> Iterator[None]:
    """Errors of the body, which opens or writes a log, as OutputError."""
    try:
        yield
    except BrokenPipeError:
        # The reader of stdout has what it wanted.
        if _descriptor(location) == 1:
            raise
        raise OutputError(f"{location}: cannot be written: its reader is gone") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{location}: cannot be written: {reason}") from error


def _descriptor(location: str) -> int | None:
    """The number of the open file that a log is written to, 1 for ``-``; None for other locations."""
    return 1 if location == "-" else open_descriptor(storage.local_path(location))


def _open_to_append(location: str) -> IO[bytes]:
    path, handle = storage.local_path(location), _descriptor(location)
    with _as_output_error(location):
        if handle is not None:
            return os.fdopen(os.dup(handle), "wb")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+")
        _check_is_log(file, location)
        # A killed run may have left an unfinished line, which would swallow the next one.
        if file.tell() and not _ends_with_newline(file):
            file.write(b"\n")
    return file


def _check_is_log(file: IO[bytes], location: str) -> None:
    """Raise OutputError where there is something else, which lines of a log would spoil."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise OutputError(f"{location}: is no file, which a log has to be, or - for stdout")
    file.seek(0)
    if file.read(1) not in (b"", b"{", b"\n"):
        raise OutputError(f"{location}: is there already, and is no log; name another")
    file.seek(0, os.SEEK_END)


def _ends_with_newline(file: IO[bytes]) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def _read_existing(location: str) -> bytes:
    return storage.read(location) if storage.size(location) is not None else b""


def read_log(location: str) -> Iterator[Outcome]:
    """The outcomes of a log, oldest first; malformed lines are left out. Raises InputError."""
    for line in storage.read(location).splitlines():
        try:
            yield Outcome.from_record(json.loads(line))
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue


def read_last_results(location: str) -> dict[str, Outcome]:
    """By target, the last outcome that is a result; none where there is no log to read. Raises InputError."""
    if _descriptor(location) is not None or storage.size(location) is None:
        return {}
    results = {}
    for outcome in read_log(location):
        if outcome.outcome in ("done", "skipped"):
            results[outcome.target] = outcome
    return results
