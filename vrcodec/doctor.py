"""Diagnosis of an installation, for bug reports: versions, machine, weights, self-tests and speed."""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from vrcodec.bench.machine import describe_machine, library_versions
from vrcodec.bitstream.rans import CodingTables, RansDecoder, RansEncoder
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.tables import TOTAL, TableSet
from vrcodec.catalog import (
    DEFAULT_MODEL,
    WEIGHTS_VARIABLE,
    WeightsEntry,
    installed_weights,
    search_path,
)
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import DEFAULT_ENGINE, FETCH_VARIABLE, Engine
from vrcodec.errors import VrcError
from vrcodec.metrics import capped_psnr
from vrcodec.models.backends import LIBRARY_VARIABLE, get_threads, has_torch
from vrcodec.models.weights import check_content
from vrcodec.picture.picture import Picture
from vrcodec.weights.hub import HUB_VARIABLE

# CRC-32 of what the entropy coder makes of known symbols, the same on every machine and in every version.
CODER_CRC32 = 0x3302C994
_TIMING_SECONDS = 1.0
_RATE = 0.5
# Height and width of the pictures for the round trip and for timing.
_ROUND_TRIP_SIZE, _TIMING_SIZE = (48, 80), (512, 768)
# Variables that change how the program behaves.
_ENVIRONMENT_VARIABLES = (
    WEIGHTS_VARIABLE,
    HUB_VARIABLE,
    FETCH_VARIABLE,
    LIBRARY_VARIABLE,
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)

# Names and passwords, and signatures, of an address.
_SECRETS = re.compile(r"(?<=://)[^/@]*(?=@)|(?<=\?).*")


@dataclass(frozen=True)
class Check:
    """One self-test. ``words``: what was measured, or what is wrong."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`. ``speed``: of the default model, megapixels a second; empty if it failed."""

    versions: dict[str, str]
    machine: dict[str, Any]
    environment: dict[str, str]
    weights_folders: list[str]
    checks: list[Check]
    speed: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"ok": self.ok, **asdict(self)}


def diagnose(engine: Engine = DEFAULT_ENGINE) -> Diagnosis:
    """Run all checks, which takes a few seconds. Raises UsageError or DeviceError for ``engine``."""
    machine = describe_machine(engine, get_threads())
    checks = [_run_check("entropy coder", check_coder)]
    checks += [_run_check(f"device {name}", partial(_describe_device, name)) for name in _devices()]
    for entry in installed_weights():
        name = f"{entry.model} {entry.id.hex()}"
        checks.append(_run_check(f"weights {name}", partial(_check_weights, entry)))
    # Of each model, the weights that encode by default.
    for model in dict.fromkeys(entry.model for entry in installed_weights()):
        checks.append(_run_check(f"model {model}", partial(_check_round_trip, model, engine)))
    speed: dict[str, float] = {}
    checks.append(_run_check("speed", partial(_measure_speed, engine, speed)))
    environment = {
        name: _SECRETS.sub("...", os.environ[name])
        for name in _ENVIRONMENT_VARIABLES
        if name in os.environ
    }
    folders = [str(folder) for folder in search_path()]
    return Diagnosis(library_versions(), machine, environment, folders, checks, speed)


def _run_check(name: str, check: Callable[[], str]) -> Check:
    """Run ``check``, which returns the words to report; where it raises, the words are the error."""
    try:
        return Check(name, True, check())
    except VrcError as error:
        return Check(name, False, str(error))
    except Exception as error:
        # A broken installation can fail in any way, and the report has to show it.
        return Check(name, False, f"{type(error).__name__}: {error}")


def check_coder() -> str:
    """Code known symbols, escapes included, with known tables. Raises RuntimeError where bytes differ."""
    ramp = np.arange(1, 11)
    escape = 1
    middle = TOTAL - 2 * int(ramp.sum()) - escape
    row = np.concatenate([ramp, [middle], ramp[::-1], [escape]])
    tables = CodingTables(TableSet(np.tile(row, 2), np.array([len(row)] * 2)))
    symbols = (np.arange(500, dtype=np.int32) * 7919 % 41 - 20).astype(np.int32)
    indices = (np.arange(500) % 2).astype(np.uint8)
    encoder = RansEncoder()
    encoder.put(symbols, indices, tables)
    data = encoder.finish()
    if zlib.crc32(data) != CODER_CRC32:
        raise RuntimeError(f"codes known symbols otherwise than it must ({zlib.crc32(data):08x})")
    if (RansDecoder(data).get(indices, tables) != symbols).any():
        raise RuntimeError("does not decode what it coded")
    return "right"


def _devices() -> list[str]:
    """Names of the devices of PyTorch, where that is installed."""
    if not has_torch():
        return []
    import torch

    return ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]


def _describe_device(name: str) -> str:
    """The name of a device, and the precisions in which it runs networks."""
    import torch

    from vrcodec.models.device import exact_device, float_dtype

    device = torch.device(name)
    exact = "float64 right" if exact_device(device) == device else "float64 not right: on the CPU"
    precision = str(float_dtype(device, "auto")).removeprefix("torch.")
    model = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    return f"{model}{exact}, networks in {precision}"


def _check_weights(entry: WeightsEntry) -> str:
    """Check the content of a weights file against its id."""
    size = check_content(entry)
    return f"right, {size / 1e6:.1f} MB, {entry.path}"


def _check_round_trip(family: str, engine: Engine) -> str:
    """Encode and decode a small picture; the decoder verifies the checksum of the symbols."""
    picture = _test_picture(_ROUND_TRIP_SIZE)
    data = Encoder(family, engine).encode(picture, RateSetting.from_rate(_RATE))
    decoded = Decoder(engine).decode(data)
    if decoded.pixels.shape != picture.pixels.shape:
        raise RuntimeError("decodes to another size")
    quality = capped_psnr(picture.pixels, decoded.pixels)
    return f"decodes what it encodes, {quality:.1f} dB"


def _measure_speed(engine: Engine, speed: dict[str, float]) -> str:
    """Time encoder and decoder, half a second each, and store the results in ``speed``."""
    picture = _test_picture(_TIMING_SIZE)
    encoder, decoder = Encoder(DEFAULT_MODEL, engine), Decoder(engine)
    data = encoder.encode(picture, RateSetting.from_rate(_RATE))
    megapixels = picture.width * picture.height / 1e6
    speed["encode"] = round(
        megapixels / _median_seconds(lambda: encoder.encode(picture, RateSetting.from_rate(_RATE))),
        3,
    )
    speed["decode"] = round(megapixels / _median_seconds(lambda: decoder.decode(data)), 3)
    return "{encode} MP/s encoding, {decode} decoding".format(**speed) + f" ({DEFAULT_MODEL})"


def _median_seconds(work: Callable[[], object]) -> float:
    """The median duration of as many runs as fit into half the time, after one to warm up."""
    work()
    end = time.perf_counter() + _TIMING_SECONDS / 2
    durations: list[float] = []
    while not durations or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return float(np.median(durations))


def _test_picture(shape: tuple[int, int]) -> Picture:
    """A picture (H, W, 3) of ramps, edges and texture, always the same."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = 40 * np.sin(x / 7) * np.cos(y / 11)
    squares = 60 * ((x // 32 + y // 32) % 2)
    channels = [squares + waves + x * 90 / shape[1], 128 + waves, y * 200 / shape[0]]
    return Picture.from_array(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))
