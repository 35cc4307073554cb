"""Times of the stages of encoding and decoding one picture."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from vrcodec.bench.codecs import synchroniser
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import DeviceError
from vrcodec.models.backends import choose_backend
from vrcodec.models.place import NUMPY_BACKEND
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture
from vrcodec.rate import code_from_rate
from vrcodec.timing import record_stages

REPEATS = 9

_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Profile:
    """Seconds by stage. ``start``: what happens once in a process; the others: medians, warm."""

    start: dict[str, float]
    encode: dict[str, float]
    decode: dict[str, float]


def profile_picture(family: str, picture: Picture, rate: float, engine: Engine) -> Profile:
    """Time the stages of ``picture`` at ``rate``. Raises UsageError, WeightsError or DeviceError."""
    # Loads PyTorch here, where it computes: that is no part of loading the weights.
    backend = choose_backend(engine)
    start = _import_times(with_torch=backend is not NUMPY_BACKEND)
    begin = time.perf_counter()
    encoder = Encoder(family, engine)
    start["load weights"] = time.perf_counter() - begin
    decoder = Decoder(engine)
    code = code_from_rate(rate)
    data = encoder.encode(picture, code)
    decoder.decode(data)
    synchronise = synchroniser(engine)
    encode = stage_medians(lambda: encoder.encode(picture, code), synchronise)
    decode = stage_medians(lambda: decoder.decode(data), synchronise)
    begin = time.perf_counter()
    serialise_picture(picture)
    decode["write PNG"] = time.perf_counter() - begin
    return Profile(start, encode, decode)


def _import_times(*, with_torch: bool) -> dict[str, float]:
    times = {}
    if with_torch:
        times["import torch"] = _import_seconds("torch")
    return {**times, "import the rest": _import_seconds("vrcodec.codec")}


@cache
def _import_seconds(module: str) -> float:
    """In a fresh process: this one has imported it already. The same for every family, so once is enough."""
    command = [sys.executable, "-c", _IMPORT.format(module)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise DeviceError(f"cannot import {module} in a process of its own: {result.stderr[-200:]}")
    return float(result.stdout)


def stage_medians(
    work: Callable[[], object], synchronise: Callable[[], None], repeats: int = REPEATS
) -> dict[str, float]:
    """Median seconds of each stage of ``work``; ``other`` is the time outside of all stages."""
    runs = []
    for _ in range(repeats):
        with record_stages(synchronise) as times:
            begin = time.perf_counter()
            work()
            total = time.perf_counter() - begin
        times.seconds["other"] = total - sum(times.seconds.values())
        runs.append(times.seconds)
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
