"""Fetching a file of which size and hash are known: goes on where it was cut off, and keeps nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from vrcodec.catalog import ReleasedFile
from vrcodec.errors import OutputError, WeightsError
from vrcodec.weights.places import BrokenOffError, NotThereError, is_remote, read_from

# Called with the name of a file, how many of its bytes are there, and how many it has, where that is known.
Progress = Callable[[str, int, "int | None"], None]

# How often a server is asked again that broke off, or had no answer; each time after a longer pause.
_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 1.0


class WrongContentError(WeightsError):
    """The file has another hash than it must have."""


def no_progress(name: str, done: int, total: int | None) -> None:
    """Of those who do not want to know."""


def fetch_file(
    places: Sequence[str], file: ReleasedFile, target: Path, progress: Progress = no_progress
) -> None:
    """Write ``file``, from the first of ``places`` that has it, to ``target``.

    What lies at ``target`` already is taken for its beginning; it is left there when a place cannot be reached
    or breaks off, for the next time, and removed when it is not what the hash says. Raises WeightsError, or
    OutputError.
    """
    problem = WeightsError(f"{file.name}: there is no place to fetch it from")
    for place in places:
        try:
            _fetch_patiently(place, file, target, progress)
            return
        except WeightsError as error:
            problem = error
    raise problem


def _fetch_patiently(place: str, file: ReleasedFile, target: Path, progress: Progress) -> None:
    # What was there from an earlier time may be of something else.
    resumed = target.exists()
    pauses = [_FIRST_PAUSE_SECONDS * 2**k for k in range(_ATTEMPTS - 1)] if is_remote(place) else []
    while True:
        try:
            _fetch_rest(place, file, target, progress)
            return
        except BrokenOffError:
            if not pauses:
                raise
            time.sleep(pauses.pop(0))
        except WrongContentError:
            if not resumed:
                raise
            resumed = False


def _fetch_rest(place: str, file: ReleasedFile, target: Path, progress: Progress) -> None:
    """Append what is missing to ``target``, and check the whole; it is removed where it cannot become right."""
    try:
        with open(target, "ab") as output:
            _append_rest(place, file, output, progress)
            output.flush()
            os.fsync(output.fileno())
        _check_hash(place, file, target)
    except OSError as error:
        _remove(target)
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
    except (BrokenOffError, NotThereError):
        raise
    except WeightsError:
        _remove(target)
        raise
    finally:
        # Of which nothing came, nothing stays.
        with contextlib.suppress(OSError):
            if not target.stat().st_size:
                target.unlink()


def _append_rest(place: str, file: ReleasedFile, output: BinaryIO, progress: Progress) -> None:
    done = output.tell()
    if done == file.size:
        return
    for start, piece in read_from(place, done):
        if start != done:
            output.truncate(start)
            done = start
        if done + len(piece) > file.size:
            raise WeightsError(f"{place}: is larger than the {file.size} bytes that it must have")
        output.write(piece)
        done += len(piece)
        progress(file.name, done, file.size)
    if done < file.size:
        raise BrokenOffError(f"{place}: ends after {done} of {file.size} bytes")


def _check_hash(place: str, file: ReleasedFile, target: Path) -> None:
    if hashlib.sha256(target.read_bytes()).hexdigest() != file.sha256:
        raise WrongContentError(f"{place}: is not what the index says: its SHA-256 is another")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
