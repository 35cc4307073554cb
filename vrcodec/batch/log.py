"""The log: a line of JSON for every input, and what an earlier run has left there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import IO

from vrcodec.batch import places
from vrcodec.batch.items import Outcome
from vrcodec.errors import OutputError

# What has no way to append is written anew, so often at most.
_PUT_SECONDS = 30.0


class Log:
    """Appends outcomes to a log. Of a killed run, all but the last line can be read."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._remote = places.is_url(place)
        self._text = _kept(place) if self._remote else b""
        self._put_at = time.monotonic()
        self._file: IO[bytes] | None = None if self._remote else _opened(place)

    def add(self, outcome: Outcome) -> None:
        """Add a line. Raises OutputError."""
        record = {**outcome.as_record(), "time": round(time.time(), 3)}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            self._text += line
            if time.monotonic() - self._put_at > _PUT_SECONDS:
                self._put()
            return
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._place}: cannot be written: {error.strerror}") from error

    def _put(self) -> None:
        places.write(self._place, self._text, overwrite=True)
        self._put_at = time.monotonic()

    def close(self) -> None:
        """Write what is left. Raises OutputError."""
        if self._file is not None:
            self._file.close()
        else:
            self._put()


def _opened(place: str) -> IO[bytes]:
    path = places.path_of(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+")
        # Behind a line that a killed run has left unfinished, ours would be lost with it.
        if file.tell() and not _ends_whole(file):
            file.write(b"\n")
    except OSError as error:
        raise OutputError(f"{place}: cannot be written: {error.strerror or error}") from error
    return file


def _ends_whole(file: IO[bytes]) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def _kept(place: str) -> bytes:
    return places.read(place) if places.size(place) is not None else b""


def read_log(place: str) -> Iterator[Outcome]:
    """The outcomes of a log, oldest first; lines that are none are left out. Raises InputError."""
    for line in places.read(place).splitlines():
        try:
            yield Outcome.from_record(json.loads(line))
        except (ValueError, TypeError, AttributeError):
            continue


def last_results(place: str) -> dict[str, Outcome]:
    """By target, the last outcome that left a file there; none where there is no log. Raises InputError."""
    if places.size(place) is None:
        return {}
    found = {}
    for outcome in read_log(place):
        if outcome.outcome != "failed":
            found[outcome.target] = outcome
    return found
