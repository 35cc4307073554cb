"""Cache of results on disk, so that an interrupted run can go on.

One JSON object a line, appended as results come in: a run that is killed loses at most its last line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from vrcodec.bench.measure import Cost, Sample
from vrcodec.errors import OutputError

_FILE_NAME = "results.jsonl"

# Codec, setting, picture's hash, conditions.
Key = tuple[str, float, str, str]


def default_folder() -> Path:
    """Where results are kept: below XDG_CACHE_HOME, or ~/.cache. Raises OutputError without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "vrcodec" / "bench"
    except RuntimeError as error:
        raise OutputError(f"results cannot be kept: {error}; name a folder with --cache") from error


class Cache:
    """Samples by codec and weights, setting, picture, and conditions (machine, threads, versions).

    ``reuse``: look up the results of earlier runs. New results are written in any case; where that cannot be,
    making a cache raises OutputError, before anything is measured.
    """

    def __init__(self, folder: Path, conditions: str, *, reuse: bool) -> None:
        self._path = folder / _FILE_NAME
        self._conditions = conditions
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._samples = _read_samples(self._path) if reuse else {}
        except OSError as error:
            raise OutputError(f"{folder}: cannot keep results here: {error.strerror}") from error
        self._append(b"")

    def get(
        self, identity: str, setting: float, picture: str, metrics: Sequence[str]
    ) -> Sample | None:
        """The sample, if there is one that has all of ``metrics``; with these alone."""
        sample = self._samples.get((identity, setting, picture, self._conditions))
        if sample is None or not set(metrics) <= set(sample.quality):
            return None
        return replace(sample, quality={name: sample.quality[name] for name in metrics})

    def put(self, identity: str, picture: str, samples: Sequence[Sample]) -> None:
        """Keep ``samples`` of one codec and picture."""
        lines = [
            json.dumps([[identity, s.setting, picture, self._conditions], asdict(s)]) + "\n"
            for s in samples
        ]
        self._append("".join(lines).encode())

    def _append(self, lines: bytes) -> None:
        try:
            with self._path.open("ab+") as file:
                if lines:
                    file.write(lines if _ends_in_newline(file) else b"\n" + lines)
        except OSError as error:
            raise OutputError(
                f"{self._path}: cannot be written: {error.strerror or error}; name another folder with --cache"
            ) from error


def _ends_in_newline(file: IO[bytes]) -> bool:
    """Whether a new line can follow: that of a killed run may lack its end."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _read_samples(path: Path) -> dict[Key, Sample]:
    samples: dict[Key, Sample] = {}
    if not os.path.exists(path):
        return samples
    for line in path.read_text(errors="replace").splitlines():
        # A line that a killed run left unfinished is no reason to stop.
        try:
            key, value = json.loads(line)
            samples[tuple(key)] = _parse_sample(value)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return samples


def _parse_sample(value: dict[str, Any]) -> Sample:
    encode, decode = (Cost(**value.pop(name)) for name in ("encode", "decode"))
    return Sample(**value, encode=encode, decode=decode)
